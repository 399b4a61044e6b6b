// A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver.

import { randomBytes } from 'node:crypto';

import { AlarmFeedService, AlarmService, clientOf, device, receivers, say, setting, unary } from './connection.js';
import { read, untilAnswered } from './refusals.js';

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

/** Publish alarms one after the other: the next goes when the one before is answered, so their order is kept. */
export async function publish(count) {
  const client = clientOf(AlarmService, setting('HOTSPARE_CLOUD'));
  try {
    for (let zone = 1; zone <= count; zone += 1) {
      const alarm = newAlarm(zone);
      // A real device writes the alarm to its disk here, and takes it from there after a restart.
      const request = { submission: { alarm } };
      const attempt = () => unary(client, 'PublishAlarm', request, device(), DEADLINE);
      const { receipt } = await send(alarm.alarm_id, attempt);
      say('published', {
        alarm_id: alarm.alarm_id,
        sequence: receipt.account_sequence,
        duplicate: receipt.duplicate,
      });
    }
  } finally {
    client.close();
  }
}

/** Send a test alarm the whole way. Any member of the group takes it; one that is away is passed over. */
export async function test() {
  const request = { alarm_id: newAlarmId(), text: 'Test by the example' };
  const members = receivers().map((receiver) => [receiver, clientOf(AlarmFeedService, receiver.address)]);
  let attempts = 0;
  const attempt = () => {
    const [receiver, client] = members[attempts++ % members.length];
    return unary(client, 'SendTestAlarm', request, receiver.feed, DEADLINE);
  };
  try {
    const answer = await send(request.alarm_id, attempt);
    say('tested', { alarm_id: request.alarm_id, number: answer.number });
  } finally {
    members.forEach(([, client]) => client.close());
  }
}

async function send(alarmId, attempt) {
  try {
    return await untilAnswered(attempt, ({ code, reason }, seconds) => {
      say('waiting', { alarm_id: alarmId, code, reason, seconds: seconds.toFixed(1) });
    });
  } catch (error) {
    const { code, reason } = read(error);
    say('refused', { alarm_id: alarmId, code, reason });
    throw error;
  }
}
