package example;

import static example.Settings.say;

import hotspare.v1.AlarmFeedServiceGrpc;
import hotspare.v1.FeedAlarm;
import hotspare.v1.StoredAlarm;
import hotspare.v1.StreamAlarmsRequest;
import hotspare.v1.StreamAlarmsResponse;
import io.grpc.ManagedChannel;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;

/**
 * Automation software: has the alarms of the group, from whichever receiver works. It keeps a stream to every receiver.
 * Only the one that works sends alarms; but one whose stream is missing is not healthy, and could not take over.
 */
final class Follower {
  /** Alarms that may be on their way without an acknowledgement. */
  private static final int WINDOW = 100;

  private final int count;
  private final String name = Settings.setting("HOTSPARE_SUBSCRIPTION");
  private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
  private final Set<List<String>> had = new HashSet<>();
  private final List<Subscription> subscriptions = new ArrayList<>();
  private CountDownLatch running;
  private Throwable failure;

  /** Follows until {@code count} different alarms have come; with 0 for ever. */
  Follower(int count) {
    this.count = count;
  }

  /** Returns the error that ended it, where there was one. */
  Throwable run() throws IOException, InterruptedException {
    for (Settings.Receiver receiver : Settings.receivers("HOTSPARE_FEED_TOKEN_FILES")) {
      subscriptions.add(new Subscription(receiver));
    }
    running = new CountDownLatch(subscriptions.size());
    subscriptions.forEach(Subscription::open);
    running.await();
    clock.shutdownNow();
    return failure;
  }

  /**
   * Keeps an alarm; returns whether these are enough. Here stands your database; the identity of device and alarm is
   * its unique key, for after a take-over, or where an acknowledgement was lost, an alarm comes again.
   */
  private synchronized boolean keep(FeedAlarm alarm, String receiver) {
    StoredAlarm stored = alarm.getStored();
    String alarmId = stored.getAlarm().getAlarmId();
    boolean isNew = had.add(List.of(stored.getAlarm().getDeviceId(), alarmId));
    say(
        "%s alarm_id=%s account=%s sequence=%d attempt=%d epoch=%d receiver=%s",
        isNew ? "alarm" : "again", alarmId, stored.getAccountNumber(), stored.getAccountSequence(),
        alarm.getAttempt(), alarm.getEpoch(), receiver);
    return count > 0 && had.size() >= count;
  }

  /** Half-closes all streams. Each server stores the acknowledgements that are on their way, and ends with OK. */
  private void end(Throwable why) {
    synchronized (this) {
      failure = failure == null ? why : failure;
    }
    subscriptions.forEach(Subscription::close);
  }

  /** The streams to one receiver, one after the other. Its methods are synchronized: a stream takes one writer. */
  private final class Subscription implements StreamObserver<StreamAlarmsResponse> {
    private final Settings.Receiver receiver;
    private final ManagedChannel channel;
    private final Pauses pauses = new Pauses();
    private StreamObserver<StreamAlarmsRequest> requests;
    private ScheduledFuture<?> reopening;
    private boolean closed;

    Subscription(Settings.Receiver receiver) throws IOException {
      this.receiver = receiver;
      this.channel = Settings.connect(receiver.address());
    }

    synchronized void open() {
      reopening = null;
      if (closed) {
        stop();
        return;
      }
      // gRPC for Java backs off for up to two minutes where it could not connect; we do that ourselves.
      channel.resetConnectBackoff();
      requests = AlarmFeedServiceGrpc.newStub(channel).withInterceptors(receiver.token()).streamAlarms(this);
      StreamAlarmsRequest.Open open =
          StreamAlarmsRequest.Open.newBuilder().setSubscription(name).setWindow(WINDOW).build();
      requests.onNext(StreamAlarmsRequest.newBuilder().setOpen(open).build());
    }

    synchronized void close() {
      if (closed) {
        return;
      }
      closed = true;
      if (requests != null) {
        requests.onCompleted();
      } else if (reopening != null && reopening.cancel(false)) {
        stop();
      }
    }

    private void stop() {
      channel.shutdown();
      running.countDown();
    }

    /** After the half-close nothing is acknowledged: it comes again, to who follows next. */
    private synchronized void acknowledge(long cursor) {
      if (!closed && requests != null) {
        StreamAlarmsRequest.Acknowledge acknowledge =
            StreamAlarmsRequest.Acknowledge.newBuilder().addCursors(cursor).build();
        requests.onNext(StreamAlarmsRequest.newBuilder().setAcknowledge(acknowledge).build());
      }
    }

    @Override
    public void onNext(StreamAlarmsResponse response) {
      pauses.reset();
      switch (response.getFrameCase()) {
        case STATE ->
            say(
                "state receiver=%s working=%b epoch=%d",
                receiver.address(), response.getState().getWorking(), response.getState().getEpoch());
        case ALARM -> {
          boolean enough = keep(response.getAlarm(), receiver.address());
          // Only now: what was acknowledged never comes again, from no receiver.
          acknowledge(response.getAlarm().getCursor());
          if (enough) {
            end(null);
          }
        }
        default -> {} // "acknowledged"; and what a later release may add
      }
    }

    @Override
    public void onError(Throwable error) {
      forget();
      Refusal refusal = Refusal.read(error);
      say("lost receiver=%s %s", receiver.address(), refusal.words());
      if (refusal.needsMending()) {
        // Here stands what wakes somebody: a receiver without its subscriber can't take over.
        System.err.println(receiver.address() + ": " + refusal.message());
      }
      // Somebody else uses the subscription: two that open it would take it from each other for ever. All other errors
      // are of this receiver alone; even a wrong token may be mended while the program runs.
      if (refusal.reason().equals("STREAM_SUPERSEDED")) {
        end(error);
      }
      reopen(refusal);
    }

    @Override
    public void onCompleted() {
      forget();
      reopen(Refusal.NONE);
    }

    /** The stream has ended: nothing more can be sent in it. */
    private synchronized void forget() {
      requests = null;
    }

    private synchronized void reopen(Refusal refusal) {
      if (closed) {
        stop();
      } else {
        reopening = clock.schedule(this::open, pauses.after(refusal), TimeUnit.MILLISECONDS);
      }
    }
  }
}
