package example;

import static example.Settings.say;

import hotspare.v1.Member;
import hotspare.v1.MemberStatus;
import hotspare.v1.Role;
import hotspare.v1.RoleServiceGrpc;
import hotspare.v1.WatchMembersRequest;
import hotspare.v1.WatchMembersResponse;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.Iterator;
import java.util.List;

/** A wallboard: follows the group at one receiver after the other, for each of them tells the whole of it. */
final class Watcher {
  /** Before the next receiver is asked. */
  private static final long NEXT_PAUSE_MILLIS = 500;

  private final int moves;
  private int seen;
  private String worked = "";

  /** Watches until the work has moved so many times; with 0 for ever. */
  Watcher(int moves) {
    this.moves = moves;
  }

  void run() throws IOException, InterruptedException {
    List<Settings.Receiver> receivers = Settings.receivers("HOTSPARE_VIEWER_TOKEN_FILES");
    for (int turn = 0; ; turn++) {
      Settings.Receiver receiver = receivers.get(turn % receivers.size());
      try {
        watch(receiver);
        return;
      } catch (StatusRuntimeException error) {
        Refusal refusal = Refusal.read(error);
        say("lost receiver=%s %s", receiver.address(), refusal.words());
        if (!refusal.passes()) {
          throw error;
        }
      }
      Thread.sleep(NEXT_PAUSE_MILLIS);
    }
  }

  /** Watches at one receiver until enough was seen; the stream itself ends only with an error. */
  private void watch(Settings.Receiver receiver) throws IOException {
    ManagedChannel channel = Settings.connect(receiver.address());
    try {
      Iterator<WatchMembersResponse> states =
          RoleServiceGrpc.newBlockingStub(channel)
              .withInterceptors(receiver.token())
              .watchMembers(WatchMembersRequest.getDefaultInstance());
      // Every message is the whole state, so nothing is missed between two streams.
      while ((moves == 0 || seen < moves) && states.hasNext()) {
        show(states.next());
      }
    } finally {
      channel.shutdownNow();
    }
  }

  private void show(WatchMembersResponse state) {
    String now = state.getGroup().getWorkingReceiverId();
    String working = "-";
    for (Member member : state.getMembersList()) {
      if (member.getReceiver().getReceiverId().equals(now)) {
        working = bare(member.getRole());
      }
    }
    say("group epoch=%d working=%s", state.getGroup().getEpoch(), working);
    for (Member member : state.getMembersList()) {
      String name = member.getReceiver().getName().replace(' ', '_');
      say("member role=%s status=%s name=%s", bare(member.getRole()), bare(member.getStatus()), name);
    }
    if (now.isEmpty()) {
      return; // nobody works: between two receivers, or for longer
    }
    if (!worked.isEmpty() && !now.equals(worked)) {
      seen++;
    }
    worked = now;
  }

  /** The name without its prefix. A number that a later release added counts as unspecified. */
  private static String bare(Role role) {
    return role == Role.UNRECOGNIZED ? "UNSPECIFIED" : role.name().substring("ROLE_".length());
  }

  private static String bare(MemberStatus status) {
    return status == MemberStatus.UNRECOGNIZED ? "UNSPECIFIED" : status.name().substring("MEMBER_STATUS_".length());
  }
}
