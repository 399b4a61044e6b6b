// Why a call failed, and whether and when to try it again.

import { grpc, readStatus } from './connection.js';

const FIRST_PAUSE = 0.2;
const LONGEST_PAUSE = 5;
const MENDING_PAUSE = 60; // while somebody has to mend something, trying oftener only makes load

/**
 * Read a failed call by what a program may decide on; the text of an error is for people, and may change.
 *
 * `code` is the canonical name; `reason` that of the contract (`-`: none, so the error is of gRPC itself); `metadata` holds
 * the changing parts of the message; `retryDelay` the seconds to wait, undefined where the server did not say;
 * `passes` tells whether the same call may succeed soon; `needsMending` whether somebody has to mend something first: a
 * key, a token, a subscription, a setting.
 */
export function read(error) {
  if (grpc.status[error.code] === undefined) {
    throw error; // no failed call: a defect of this program
  }
  const code = grpc.status[error.code];
  const refusal = { code, reason: '-', metadata: {}, retryDelay: undefined, message: error.details };
  for (const bytes of error.metadata?.get('grpc-status-details-bin') ?? []) {
    for (const detail of readStatus(bytes).details) {
      switch (detail['@type']) {
        case 'type.googleapis.com/google.rpc.ErrorInfo':
          if (detail.domain === 'hotspare') {
            refusal.reason = detail.reason;
            refusal.metadata = detail.metadata;
          }
          break;
        case 'type.googleapis.com/google.rpc.RetryInfo':
          refusal.retryDelay = Number(detail.retry_delay.seconds) + detail.retry_delay.nanos / 1e9;
          break;
      }
    }
  }
  return { ...refusal, passes: passes(refusal), needsMending: needsMending(refusal) };
}

function passes({ code, retryDelay }) {
  switch (code) {
    case 'UNAVAILABLE':
    case 'DEADLINE_EXCEEDED':
      return true;
    case 'RESOURCE_EXHAUSTED':
      // A full disk passes, and its RetryInfo says so; a message that is too long stays so.
      return retryDelay !== undefined;
    default:
      return false;
  }
}

function needsMending({ code }) {
  return ['UNAUTHENTICATED', 'PERMISSION_DENIED', 'NOT_FOUND', 'FAILED_PRECONDITION'].includes(code);
}

/** The pauses between attempts; they grow with each failure in a row. */
export class Pauses {
  #next = FIRST_PAUSE;

  /** It worked again. */
  reset() {
    this.#next = FIRST_PAUSE;
  }

  /** Seconds until the next attempt: no fewer than the server asked for. */
  after({ needsMending, retryDelay = 0 }) {
    const seconds = Math.max(needsMending ? MENDING_PAUSE : this.#next, retryDelay);
    this.#next = Math.min(2 * this.#next, LONGEST_PAUSE);
    // Some longer than others: what came to a stop together should not come back in one moment.
    return seconds * (1 + Math.random() / 5);
  }
}
