// Automation software: has the alarms of the group, from whichever receiver works.

import { setTimeout as sleep } from 'node:timers/promises';

import { AlarmFeedService, clientOf, receivers, say, setting } from './connection.js';
import { Pauses, read } from './refusals.js';

const WINDOW = 100; // alarms that may be on their way without an acknowledgement

/**
 * Keeps a stream to every receiver. Only the one that works sends alarms; but one without its stream is not healthy, and
 * could not take over.
 */
export class Follower {
  #count;
  #had = new Set();
  #open = new Set();
  #done = new AbortController();

  constructor(count) {
    this.#count = count;
  }

  /** Follow until `count` different alarms have come; with 0 for ever. */
  async run() {
    try {
      await Promise.all(receivers().map((receiver) => this.#keepOpen(receiver)));
    } finally {
      this.#end(); // where one of them failed, the others are to end too: open streams keep the process alive
    }
  }

  async #keepOpen(receiver) {
    const client = clientOf(AlarmFeedService, receiver.address);
    const pauses = new Pauses();
    try {
      while (!this.#isDone) {
        let refusal = {};
        try {
          await this.#read(client, receiver, pauses);
        } catch (error) {
          refusal = read(error);
          tellLoss(receiver, refusal);
          if (refusal.reason === 'STREAM_SUPERSEDED') {
            // Somebody else uses the subscription: two that open it would take it from each other for ever.
            throw error;
          }
        }
        // All other errors are of this receiver alone; even a wrong token may be mended while the program runs.
        await this.#pause(pauses.after(refusal));
      }
    } finally {
      client.close();
    }
  }

  async #read(client, receiver, pauses) {
    const call = client.StreamAlarms(receiver.feed);
    call.on('error', () => {}); // the loop throws it; this is for one that comes after the loop was left
    this.#open.add(call);
    try {
      call.write({ open: { subscription: setting('HOTSPARE_SUBSCRIPTION'), window: WINDOW } });
      for await (const response of call) {
        pauses.reset();
        switch (response.frame) {
          case 'state':
            say('state', { receiver: receiver.address, working: response.state.working, epoch: response.state.epoch });
            break;
          case 'alarm':
            this.#take(response.alarm, receiver, call);
            break;
          default: // `acknowledged`; and what a later release may add
        }
      }
    } finally {
      this.#open.delete(call);
      call.cancel(); // for a loop that was left early; nothing where the call has ended
    }
  }

  #take(alarm, receiver, call) {
    if (this.#isDone) {
      return; // without an acknowledgement it comes again, to whom follows next
    }
    this.#keep(alarm, receiver);
    // Only now: what was acknowledged never comes again, from no receiver.
    call.write({ acknowledge: { cursors: [alarm.cursor] } });
    if (this.#count && this.#had.size >= this.#count) {
      this.#end();
    }
  }

  /**
   * Keep an alarm. Here stands your database; the identity of device and alarm is its unique key, for after a take-over, or
   * where an acknowledgement was lost, an alarm comes again.
   */
  #keep({ stored, attempt, epoch }, receiver) {
    const identity = `${stored.alarm.device_id} ${stored.alarm.alarm_id}`;
    say(this.#had.has(identity) ? 'again' : 'alarm', {
      alarm_id: stored.alarm.alarm_id,
      account: stored.account_number,
      sequence: stored.account_sequence,
      attempt,
      epoch,
      receiver: receiver.address,
    });
    this.#had.add(identity);
  }

  /** Half-close all streams. Each server stores the acknowledgements that are on their way, and ends with OK. */
  #end() {
    this.#done.abort();
    for (const call of this.#open) {
      call.end();
    }
  }

  get #isDone() {
    return this.#done.signal.aborted;
  }

  async #pause(seconds) {
    await sleep(seconds * 1000, undefined, { signal: this.#done.signal }).catch(() => {});
  }
}

function tellLoss(receiver, { code, reason, needsMending, message }) {
  say('lost', { receiver: receiver.address, code, reason });
  if (needsMending) {
    // Here stands what wakes somebody: a receiver without its subscriber can't take over.
    console.error(`${receiver.address}: ${message}`);
  }
}
