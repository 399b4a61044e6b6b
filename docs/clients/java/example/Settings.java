package example;

import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptor;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.TlsChannelCredentials;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** What the environment tells, channels made of it, and the lines that the program prints. */
final class Settings {
  /** A member of the group. Tokens belong to one receiver, so each has its own. */
  record Receiver(String address, ClientInterceptor token) {}

  private Settings() {}

  /** A variable of the environment that must be there. */
  static String setting(String name) {
    String value = System.getenv(name);
    if (value == null || value.isEmpty()) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }

  /** All receivers of the group, with the tokens of one kind: the files that this variable names. */
  static List<Receiver> receivers(String tokenFiles) throws IOException {
    String[] addresses = setting("HOTSPARE_RECEIVERS").split(",");
    String[] files = setting(tokenFiles).split(",");
    if (addresses.length != files.length) {
      throw new IllegalStateException(tokenFiles + " does not fit HOTSPARE_RECEIVERS");
    }
    List<Receiver> receivers = new ArrayList<>();
    for (int i = 0; i < addresses.length; i++) {
      receivers.add(new Receiver(addresses[i], token(secret(files[i]))));
    }
    return receivers;
  }

  /** What makes a call one with this token. */
  static ClientInterceptor token(String token) {
    return headers(Map.of("authorization", "Bearer " + token));
  }

  /** What makes a call that of the device. */
  static ClientInterceptor device() throws IOException {
    return headers(
        Map.of(
            "hotspare-arc-id", setting("HOTSPARE_ARC_ID"),
            "hotspare-device-id", setting("HOTSPARE_DEVICE_ID"),
            "hotspare-device-key", secret(setting("HOTSPARE_DEVICE_KEY_FILE"))));
  }

  /** A channel to a server. It connects at the first call, and again by itself. */
  static ManagedChannel connect(String address) throws IOException {
    String authority = System.getenv("HOTSPARE_TLS_CA");
    ChannelCredentials security =
        authority == null || authority.isEmpty()
            ? InsecureChannelCredentials.create()
            : TlsChannelCredentials.newBuilder().trustManager(new File(authority)).build();
    return Grpc.newChannelBuilder(address, security)
        // gRPC for Java takes less than 10 s as 10 s. A receiver that is gone without a word is noticed after 12.
        .keepAliveTime(10, TimeUnit.SECONDS)
        .keepAliveTimeout(2, TimeUnit.SECONDS)
        .build();
  }

  /** Prints an event, at once: somebody may be waiting for it at the other end of a pipe. */
  static void say(String format, Object... values) {
    System.out.println(String.format(Locale.ROOT, format, values));
  }

  private static String secret(String file) throws IOException {
    return Files.readString(Path.of(file)).strip();
  }

  private static ClientInterceptor headers(Map<String, String> values) {
    Metadata headers = new Metadata();
    values.forEach((key, value) -> headers.put(Metadata.Key.of(key, Metadata.ASCII_STRING_MARSHALLER), value));
    return MetadataUtils.newAttachHeadersInterceptor(headers);
  }
}
