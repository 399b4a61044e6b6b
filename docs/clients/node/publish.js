// A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { AlarmFeedService, AlarmService, clientOf, device, receivers, say, setting, unary } from './connection.js';
import { Pauses, read } from './refusals.js';

const DEADLINE = 10; // seconds for one attempt, as the comment of both calls says

/** A UUIDv7: milliseconds since 1970 in front, then random bits. */
export function newAlarmId() {
  const bytes = randomBytes(16);
  bytes.writeUIntBE(Date.now(), 0, 6);
  bytes[6] = 0x70 | (bytes[6] & 0x0f);
  bytes[8] = 0x80 | (bytes[8] & 0x3f);
  const hex = bytes.toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** A burglary in a zone. Its id is made once: by the id the cloud knows a repetition. */
function newAlarm(zone) {
  const now = Date.now();
  return {
    alarm_id: newAlarmId(),
    qualifier: 'QUALIFIER_NEW',
    code_format: 'CODE_FORMAT_CONTACT_ID',
    code: '130',
    partition: 1,
    zone,
    occur_time: { seconds: Math.floor(now / 1000), nanos: (now % 1000) * 1e6 },
  };
}

/**
 * Publish alarms one after the other: the next goes when the one before is answered, so their order is kept. Returns
 * whether all were taken.
 */
export async function publish(count) {
  const client = clientOf(AlarmService, setting('HOTSPARE_CLOUD'));
  let refused = 0;
  try {
    for (let zone = 1; zone <= count; zone += 1) {
      const alarm = newAlarm(zone);
      // A real device writes the alarm to its disk here, and takes it from there after a restart.
      if (!(await publishOne(client, alarm))) {
        refused += 1; // and on with the next: it must not hold up those behind it
      }
    }
  } finally {
    client.close();
  }
  return refused === 0;
}

/** Publish an alarm until it is answered; returns whether it was taken. */
async function publishOne(client, alarm) {
  const request = { submission: { alarm } };
  const pauses = new Pauses();
  for (;;) {
    // The key is read for each attempt, so that one that was replaced counts without a restart.
    const credentials = device();
    try {
      const { receipt } = await unary(client, 'PublishAlarm', request, credentials, DEADLINE);
      say('published', {
        alarm_id: alarm.alarm_id,
        sequence: receipt.account_sequence,
        duplicate: receipt.duplicate,
      });
      return true;
    } catch (error) {
      const refusal = read(error);
      if (refusal.reason === 'FIELD_INVALID') {
        // The alarm itself is wrong. Nothing else is final: keys, servers and networks get mended, and then somebody
        // needs this alarm.
        tellRefused(alarm.alarm_id, refusal);
        return false;
      }
      await wait(alarm.alarm_id, refusal, pauses);
    }
  }
}

/**
 * Send a test alarm the whole way; returns whether it was taken. Any member of the group takes it; one that is away is
 * passed over.
 */
export async function test() {
  // An id for each of them: a test is known again only at the receiver that was asked for it.
  const asked = receivers().map((receiver) => ({ receiver, alarmId: newAlarmId() }));
  const pauses = new Pauses();
  for (let turn = 0; ; turn += 1) {
    const { receiver, alarmId } = asked[turn % asked.length];
    try {
      const { number } = await sendTest(receiver, alarmId);
      say('tested', { alarm_id: alarmId, number });
      return true;
    } catch (error) {
      const refusal = read(error);
      if (!refusal.passes) {
        tellRefused(alarmId, refusal);
        return false;
      }
      await wait(alarmId, refusal, pauses);
    }
  }
}

async function sendTest(receiver, alarmId) {
  const client = clientOf(AlarmFeedService, receiver.address);
  const request = { alarm_id: alarmId, text: 'Test by the example' };
  try {
    return await unary(client, 'SendTestAlarm', request, receiver.feed, DEADLINE);
  } finally {
    client.close();
  }
}

async function wait(alarmId, refusal, pauses) {
  const { code, reason, needsMending, message } = refusal;
  const seconds = pauses.after(refusal);
  say('waiting', { alarm_id: alarmId, code, reason, seconds: seconds.toFixed(1) });
  if (needsMending) {
    console.error(`${alarmId}: ${message}`); // here stands what wakes somebody
  }
  await sleep(seconds * 1000);
}

function tellRefused(alarmId, { code, reason, message }) {
  say('refused', { alarm_id: alarmId, code, reason });
  console.error(`${alarmId}: ${message}`);
}
