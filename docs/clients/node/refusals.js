// Why a call failed, and whether and when to try it again.

import { setTimeout as sleep } from 'node:timers/promises';

import { grpc, readStatus } from './connection.js';

const FIRST_PAUSE = 0.2;
const LONGEST_PAUSE = 5;

/**
 * Read a failed call by what a program may decide on; the text of an error is for people, and may change.
 *
 * `code` is the canonical name; `reason` that of the contract (`-`: none, so the error is of gRPC itself); `metadata` holds
 * the changing parts of the message; `retryDelay` the seconds to wait, undefined where the server did not say;
 * `passes` tells whether the same call may succeed later.
 */
export function read(error) {
  if (grpc.status[error.code] === undefined) {
    throw error; // no failed call: a defect of this program
  }
  const refusal = { code: grpc.status[error.code], reason: '-', metadata: {}, retryDelay: undefined };
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
  return { ...refusal, passes: passes(refusal) };
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

/**
 * Make a call again and again until it is answered; `waiting` is told of each failure that passes. Only for calls that may
 * be made twice: their comment in the protos says "Idempotent". Throws when waiting does not help.
 */
export async function untilAnswered(call, waiting) {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    let refusal;
    try {
      return await call();
    } catch (error) {
      refusal = read(error);
      if (!refusal.passes) {
        throw error;
      }
    }
    // Some longer than others: what came to a stop together should not come back in one moment.
    const seconds = (refusal.retryDelay ?? pause) * (1 + Math.random() / 5);
    waiting(refusal, seconds);
    await sleep(seconds * 1000);
  }
}
