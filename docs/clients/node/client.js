// An example client: a device, automation software, a wallboard. See README.md beside it.
//
//     node client.js publish COUNT | follow COUNT | members MOVES | test | errors

import { AlarmFeedService, AlarmService, RoleService } from './connection.js';
import { bearer, clientOf, device, receivers, say, setting, unary } from './connection.js';
import { Follower } from './follow.js';
import { Watcher } from './members.js';
import { newAlarmId, publish, test } from './publish.js';
import { read } from './refusals.js';

/** Make three calls that are refused, and tell why. */
async function showRefusals() {
  await refusedPublish();
  for (const receiver of receivers()) {
    try {
      await refusedRead(receiver);
      await refusedWatch(receiver);
      return;
    } catch (error) {
      if (!read(error).passes) {
        throw error;
      }
      // It is away: any other receiver answers the same.
    }
  }
}

async function refusedPublish() {
  const client = clientOf(AlarmService, setting('HOTSPARE_CLOUD'));
  const request = { submission: { alarm: { alarm_id: 'no UUID', code: '130' } } };
  try {
    await expectRefusal('PublishAlarm', () => unary(client, 'PublishAlarm', request, device(), 10));
  } finally {
    client.close();
  }
}

async function refusedRead(receiver) {
  const client = clientOf(AlarmFeedService, receiver.address);
  const request = { alarm_id: newAlarmId() };
  try {
    await expectRefusal('GetAlarm', () => unary(client, 'GetAlarm', request, receiver.viewer, 5));
  } finally {
    client.close();
  }
}

async function refusedWatch(receiver) {
  const client = clientOf(RoleService, receiver.address);
  try {
    await expectRefusal('WatchMembers', async () => {
      for await (const state of client.WatchMembers({}, bearer('none'))) {
        throw new Error(`a token that is none was taken: ${state.group.arc_id}`);
      }
    });
  } finally {
    client.close();
  }
}

/** Tell what a program decides by: never the message. */
async function expectRefusal(call, make) {
  try {
    await make();
  } catch (error) {
    const refusal = read(error);
    if (refusal.passes) {
      throw error;
    }
    const { field, kind } = refusal.metadata;
    const told = { ...(field && { field }), ...(kind && { kind }) };
    say('error', { call, code: refusal.code, reason: refusal.reason, ...told });
  }
}

/** The commands. Those that send something return whether all of it was taken. */
const COMMANDS = {
  publish: (number) => publish(number ?? 1),
  follow: (number) => new Follower(number ?? 0).run(),
  members: (number) => new Watcher(number ?? 0).run(),
  test: () => test(),
  errors: () => showRefusals(),
};

const [name, number] = process.argv.slice(2);
if (!Object.hasOwn(COMMANDS, name ?? '')) {
  console.error('Usage: node client.js publish COUNT | follow COUNT | members MOVES | test | errors');
  process.exit(2);
}
try {
  const taken = await COMMANDS[name](number === undefined ? undefined : Number(number));
  process.exitCode = taken === false ? 1 : 0;
} catch (error) {
  // What gRPC says for people; of a defect of this program also where it is.
  console.error(error.details ?? error.stack);
  process.exitCode = 1;
}
