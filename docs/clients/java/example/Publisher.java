package example;

import static example.Settings.say;

import com.google.protobuf.Timestamp;
import hotspare.v1.Alarm;
import hotspare.v1.AlarmFeedServiceGrpc;
import hotspare.v1.AlarmReceipt;
import hotspare.v1.AlarmServiceGrpc;
import hotspare.v1.AlarmSubmission;
import hotspare.v1.CodeFormat;
import hotspare.v1.PublishAlarmRequest;
import hotspare.v1.Qualifier;
import hotspare.v1.SendTestAlarmRequest;
import hotspare.v1.SendTestAlarmResponse;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.security.SecureRandom;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.TimeUnit;

/** A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver. */
final class Publisher {
  /** For one attempt, as the comment of both calls says. */
  static final int DEADLINE_SECONDS = 10;

  private static final SecureRandom RANDOM = new SecureRandom();

  private Publisher() {}

  /** A UUIDv7: milliseconds since 1970 in front, then random bits. */
  static String newAlarmId() {
    long high = System.currentTimeMillis() << 16 | 0x7000 | RANDOM.nextInt(0x1000);
    long low = RANDOM.nextLong() >>> 2 | 0x8000_0000_0000_0000L;
    return new UUID(high, low).toString();
  }

  /**
   * Publishes alarms one after the other: the next goes when the one before is answered, so their order is kept.
   * Returns whether all were taken.
   */
  static boolean publish(int count) throws IOException, InterruptedException {
    ManagedChannel channel = Settings.connect(Settings.setting("HOTSPARE_CLOUD"));
    boolean allTaken = true;
    try {
      for (int zone = 1; zone <= count; zone++) {
        // A real device writes the alarm to its disk here, and takes it from there after a restart. One that is refused
        // must not hold up those behind it.
        allTaken &= publish(channel, newAlarm(zone));
      }
    } finally {
      channel.shutdown();
    }
    return allTaken;
  }

  /** Publishes an alarm until it is answered; returns whether it was taken. */
  private static boolean publish(ManagedChannel channel, Alarm alarm) throws IOException, InterruptedException {
    PublishAlarmRequest request =
        PublishAlarmRequest.newBuilder().setSubmission(AlarmSubmission.newBuilder().setAlarm(alarm)).build();
    Pauses pauses = new Pauses();
    while (true) {
      // gRPC for Java backs off for up to two minutes where it could not connect; we do that ourselves.
      channel.resetConnectBackoff();
      try {
        AlarmReceipt receipt =
            AlarmServiceGrpc.newBlockingStub(channel)
                // The key is read for each attempt, so that one that was replaced counts without a restart.
                .withInterceptors(Settings.device())
                .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
                .publishAlarm(request)
                .getReceipt();
        say(
            "published alarm_id=%s sequence=%d duplicate=%b",
            alarm.getAlarmId(), receipt.getAccountSequence(), receipt.getDuplicate());
        return true;
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.read(error);
        if (refusal.reason().equals("FIELD_INVALID")) {
          // The alarm itself is wrong. Nothing else is final: keys, servers and networks get mended, and then somebody
          // needs this alarm.
          sayRefused(alarm.getAlarmId(), refusal);
          return false;
        }
        waitAfter(alarm.getAlarmId(), refusal, pauses);
      }
    }
  }

  /**
   * Sends a test alarm the whole way; returns whether it was taken. Any member of the group takes it; one that is away
   * is passed over.
   */
  static boolean test() throws IOException, InterruptedException {
    List<Settings.Receiver> members = Settings.receivers("HOTSPARE_FEED_TOKEN_FILES");
    // An id for each of them: a test is known again only at the receiver that was asked for it.
    List<String> alarmIds = members.stream().map(member -> newAlarmId()).toList();
    Pauses pauses = new Pauses();
    for (int turn = 0; ; turn++) {
      String alarmId = alarmIds.get(turn % members.size());
      try {
        SendTestAlarmResponse answer = sendTest(members.get(turn % members.size()), alarmId);
        say("tested alarm_id=%s number=%d", alarmId, answer.getNumber());
        return true;
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.read(error);
        if (!refusal.passes()) {
          sayRefused(alarmId, refusal);
          return false;
        }
        waitAfter(alarmId, refusal, pauses);
      }
    }
  }

  private static SendTestAlarmResponse sendTest(Settings.Receiver member, String alarmId) throws IOException {
    SendTestAlarmRequest request =
        SendTestAlarmRequest.newBuilder().setAlarmId(alarmId).setText("Test by the example").build();
    ManagedChannel channel = Settings.connect(member.address());
    try {
      return AlarmFeedServiceGrpc.newBlockingStub(channel)
          .withInterceptors(member.token())
          .withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS)
          .sendTestAlarm(request);
    } finally {
      channel.shutdown();
    }
  }

  /** A burglary in a zone. Its id is made once: by the id the cloud knows a repetition. */
  private static Alarm newAlarm(int zone) {
    Instant now = Instant.now();
    return Alarm.newBuilder()
        .setAlarmId(newAlarmId())
        .setQualifier(Qualifier.QUALIFIER_NEW)
        .setCodeFormat(CodeFormat.CODE_FORMAT_CONTACT_ID)
        .setCode("130")
        .setPartition(1)
        .setZone(zone)
        .setOccurTime(Timestamp.newBuilder().setSeconds(now.getEpochSecond()).setNanos(now.getNano()))
        .build();
  }

  /** Waits until the next attempt, and tells that it does. */
  private static void waitAfter(String alarmId, Refusal refusal, Pauses pauses) throws InterruptedException {
    long millis = pauses.after(refusal);
    say("waiting alarm_id=%s %s seconds=%.2f", alarmId, refusal.words(), millis / 1000.0);
    if (refusal.needsMending()) {
      // Here stands what wakes somebody.
      System.err.println(alarmId + ": " + refusal.message());
    }
    Thread.sleep(millis);
  }

  private static void sayRefused(String alarmId, Refusal refusal) {
    say("refused alarm_id=%s %s", alarmId, refusal.words());
    System.err.println(alarmId + ": " + refusal.message());
  }
}
