package example;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import hotspare.client.rpc.ErrorInfo;
import hotspare.client.rpc.RetryInfo;
import io.grpc.Status;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * Why a call failed, by what a program may decide on; the text of an error is for people, and may change.
 *
 * @param reason of the contract, as errors.proto names it; {@code -}: none, so the error is of gRPC itself
 * @param metadata the changing parts of the message, under the keys that errors.proto names
 * @param retryDelay how long to wait before trying again; null: the server did not say
 */
record Refusal(Status.Code code, String reason, Map<String, String> metadata, Duration retryDelay, String message) {

  /** Of a call that the server ended in order. */
  static final Refusal NONE = new Refusal(Status.Code.OK, "-", Map.of(), null, null);

  /** Reads a failed call with its details. */
  static Refusal read(Throwable error) {
    Status status = Status.fromThrowable(error);
    String reason = "-";
    Map<String, String> metadata = Map.of();
    Duration retryDelay = null;
    com.google.rpc.Status details = StatusProto.fromThrowable(error);
    try {
      for (Any detail : details == null ? List.<Any>of() : details.getDetailsList()) {
        if (detail.is(ErrorInfo.class) && detail.unpack(ErrorInfo.class).getDomain().equals("hotspare")) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          reason = info.getReason();
          metadata = info.getMetadataMap();
        } else if (detail.is(RetryInfo.class)) {
          com.google.protobuf.Duration delay = detail.unpack(RetryInfo.class).getRetryDelay();
          retryDelay = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        }
      }
    } catch (InvalidProtocolBufferException damaged) {
      // Then the code alone counts, as for a reason that is not known here.
    }
    return new Refusal(status.getCode(), reason, metadata, retryDelay, status.getDescription());
  }

  /** Whether the same call may succeed soon. A reason that is not known here is taken by its code. */
  boolean passes() {
    return switch (code) {
      case UNAVAILABLE, DEADLINE_EXCEEDED -> true;
      // A full disk passes, and its RetryInfo says so; a message that is too long stays so.
      case RESOURCE_EXHAUSTED -> retryDelay != null;
      default -> false;
    };
  }

  /** Whether somebody has to mend something first: a key, a token, a subscription, a setting. */
  boolean needsMending() {
    return switch (code) {
      case UNAUTHENTICATED, PERMISSION_DENIED, NOT_FOUND, FAILED_PRECONDITION -> true;
      default -> false;
    };
  }

  /** Code and reason, as all lines have them. */
  String words() {
    return "code=" + code + " reason=" + reason;
  }
}
