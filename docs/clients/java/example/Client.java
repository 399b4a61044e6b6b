package example;

import static example.Settings.say;

import hotspare.v1.Alarm;
import hotspare.v1.AlarmFeedServiceGrpc;
import hotspare.v1.AlarmServiceGrpc;
import hotspare.v1.AlarmSubmission;
import hotspare.v1.GetAlarmRequest;
import hotspare.v1.PublishAlarmRequest;
import hotspare.v1.RoleServiceGrpc;
import hotspare.v1.WatchMembersRequest;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** An example client: a device, automation software, a wallboard. See README.md beside it. */
public final class Client {
  private static final String USAGE =
      "usage: hotspare-client publish [COUNT] | follow [COUNT] | members [MOVES] | test | errors";

  private Client() {}

  /** Carries out a command. */
  public static void main(String[] arguments) throws InterruptedException {
    System.exit(run(arguments));
  }

  private static int run(String[] arguments) throws InterruptedException {
    try {
      int number = number(arguments);
      boolean taken = true;
      switch (arguments[0]) {
        case "publish" -> taken = Publisher.publish(arguments.length == 1 ? 1 : number);
        case "follow" -> {
          Throwable failure = new Follower(number).run();
          if (failure != null) {
            return failed(failure);
          }
        }
        case "members" -> new Watcher(number).run();
        case "test" -> taken = Publisher.test();
        case "errors" -> showRefusals();
        default -> throw new IllegalArgumentException(arguments[0]);
      }
      return taken ? 0 : 1;
    } catch (IllegalArgumentException wrong) {
      System.err.println(USAGE);
      return 2;
    } catch (StatusRuntimeException | IllegalStateException | IOException error) {
      return failed(error);
    }
  }

  private static int failed(Throwable error) {
    System.err.println(error.getMessage());
    return 1;
  }

  /** The second argument. 0: there is none. */
  private static int number(String[] arguments) {
    if (arguments.length < 1 || arguments.length > 2) {
      throw new IllegalArgumentException("one or two");
    }
    return arguments.length == 1 ? 0 : Integer.parseUnsignedInt(arguments[1]);
  }

  /** Makes three calls that are refused, and tells why. */
  private static void showRefusals() throws IOException {
    showWrongAlarm();
    List<Settings.Receiver> receivers = Settings.receivers("HOTSPARE_VIEWER_TOKEN_FILES");
    for (Settings.Receiver receiver : receivers) {
      ManagedChannel channel = Settings.connect(receiver.address());
      try {
        if (showUnknown(channel, receiver)) {
          return;
        }
      } finally {
        channel.shutdownNow();
      }
    }
    throw new IOException("no receiver answers");
  }

  private static void showWrongAlarm() throws IOException {
    Alarm alarm = Alarm.newBuilder().setAlarmId("no UUID").setCode("130").build();
    ManagedChannel channel = Settings.connect(Settings.setting("HOTSPARE_CLOUD"));
    try {
      AlarmServiceGrpc.newBlockingStub(channel)
          .withInterceptors(Settings.device())
          .withDeadlineAfter(Publisher.DEADLINE_SECONDS, TimeUnit.SECONDS)
          .publishAlarm(
              PublishAlarmRequest.newBuilder().setSubmission(AlarmSubmission.newBuilder().setAlarm(alarm)).build());
    } catch (StatusRuntimeException error) {
      showRefusal("PublishAlarm", Refusal.read(error));
    } finally {
      channel.shutdown();
    }
  }

  /** Asks a receiver for what is not there; returns whether it answered. */
  private static boolean showUnknown(ManagedChannel channel, Settings.Receiver receiver) {
    try {
      AlarmFeedServiceGrpc.newBlockingStub(channel)
          .withInterceptors(receiver.token())
          .withDeadlineAfter(5, TimeUnit.SECONDS)
          .getAlarm(GetAlarmRequest.newBuilder().setAlarmId(Publisher.newAlarmId()).build());
    } catch (StatusRuntimeException error) {
      Refusal refusal = Refusal.read(error);
      if (refusal.passes()) {
        return false; // it is away: any other receiver answers the same
      }
      showRefusal("GetAlarm", refusal);
    }
    try {
      RoleServiceGrpc.newBlockingStub(channel)
          .withInterceptors(Settings.token("none"))
          .watchMembers(WatchMembersRequest.getDefaultInstance())
          .forEachRemaining(state -> {});
    } catch (StatusRuntimeException error) {
      showRefusal("WatchMembers", Refusal.read(error));
    }
    return true;
  }

  /** Tells what a program decides by: never the message. */
  private static void showRefusal(String call, Refusal refusal) {
    StringBuilder line = new StringBuilder("error call=" + call + " " + refusal.words());
    for (String key : List.of("field", "kind")) {
      if (refusal.metadata().containsKey(key)) {
        line.append(" ").append(key).append("=").append(refusal.metadata().get(key));
      }
    }
    say("%s", line);
  }
}
