// A wallboard: watches who of the group works.

import { setTimeout as sleep } from 'node:timers/promises';

import { RoleService, clientOf, receivers, say } from './connection.js';
import { read } from './refusals.js';

const PAUSE = 0.5; // seconds before the next receiver is asked

/** Follows the state of the group at one receiver after the other: each of them tells the whole of it. */
export class Watcher {
  #moves;
  #seen = 0;
  #worked = '';

  constructor(moves) {
    this.#moves = moves;
  }

  /** Watch until the work has moved `moves` times; with 0 for ever. */
  async run() {
    const all = receivers();
    for (let asked = 0; !this.#hasEnough; asked += 1) {
      const receiver = all[asked % all.length];
      try {
        await this.#watch(receiver);
      } catch (error) {
        const { code, reason, passes } = read(error);
        say('lost', { receiver: receiver.address, code, reason });
        if (!passes) {
          throw error;
        }
      }
      await sleep(this.#hasEnough ? 0 : PAUSE * 1000);
    }
  }

  async #watch(receiver) {
    const client = clientOf(RoleService, receiver.address);
    const call = client.WatchMembers({}, receiver.viewer);
    try {
      // Every message is the whole state, so nothing is missed between two streams.
      for await (const state of call) {
        this.#show(state);
        if (this.#hasEnough) {
          call.cancel();
        }
      }
    } catch (error) {
      if (!this.#hasEnough) {
        throw error; // else it is our own cancellation
      }
    } finally {
      client.close();
    }
  }

  #show({ group, members }) {
    const working = group.working_receiver_id;
    const roles = new Map(members.map((member) => [member.receiver.receiver_id, short('ROLE_', member.role)]));
    say('group', { epoch: group.epoch, working: roles.get(working) ?? '-' });
    for (const { role, status, receiver } of members) {
      say('member', {
        role: short('ROLE_', role),
        status: short('MEMBER_STATUS_', status),
        name: receiver.name.replaceAll(' ', '_'),
      });
    }
    if (working && this.#worked && working !== this.#worked) {
      this.#seen += 1;
    }
    this.#worked = working || this.#worked;
  }

  get #hasEnough() {
    return this.#moves > 0 && this.#seen >= this.#moves;
  }
}

/** The name without its prefix. A number is a value that a later release added: it counts as unspecified. */
function short(prefix, name) {
  return typeof name === 'string' ? name.slice(prefix.length) : 'UNSPECIFIED';
}
