package example;

import java.util.concurrent.ThreadLocalRandom;

/** The pauses between attempts; they grow with each failure in a row. */
final class Pauses {
  private static final long FIRST_MILLIS = 200;
  private static final long LONGEST_MILLIS = 5_000;
  /** While somebody has to mend something, trying oftener only makes load. */
  private static final long MENDING_MILLIS = 60_000;

  private long next = FIRST_MILLIS;

  /** It worked again. */
  void reset() {
    next = FIRST_MILLIS;
  }

  /** Milliseconds until the next attempt: no fewer than the server asked for. */
  long after(Refusal refusal) {
    long wait = refusal.needsMending() ? MENDING_MILLIS : next;
    next = Math.min(2 * next, LONGEST_MILLIS);
    if (refusal.retryDelay() != null) {
      wait = Math.max(wait, refusal.retryDelay().toMillis());
    }
    // Some longer than others: what came to a stop together should not come back in one moment.
    return wait + ThreadLocalRandom.current().nextLong(wait / 5 + 1);
  }
}
