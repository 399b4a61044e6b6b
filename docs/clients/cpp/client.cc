#include "client.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <mutex>
#include <random>
#include <sstream>
#include <stdexcept>

#include <grpcpp/support/error_details.h>

#include "google/rpc/error_details.pb.h"

namespace client {
namespace {

std::string Contents(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error("can't read " + file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A token or a key.
std::string Secret(const std::string& file) {
  std::istringstream words(Contents(file));
  std::string secret;
  words >> secret;
  return secret;
}

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// C++ has no names for the codes.
const char* CodeName(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::OK: return "OK";
    case grpc::StatusCode::CANCELLED: return "CANCELLED";
    case grpc::StatusCode::INVALID_ARGUMENT: return "INVALID_ARGUMENT";
    case grpc::StatusCode::DEADLINE_EXCEEDED: return "DEADLINE_EXCEEDED";
    case grpc::StatusCode::NOT_FOUND: return "NOT_FOUND";
    case grpc::StatusCode::ALREADY_EXISTS: return "ALREADY_EXISTS";
    case grpc::StatusCode::PERMISSION_DENIED: return "PERMISSION_DENIED";
    case grpc::StatusCode::RESOURCE_EXHAUSTED: return "RESOURCE_EXHAUSTED";
    case grpc::StatusCode::FAILED_PRECONDITION: return "FAILED_PRECONDITION";
    case grpc::StatusCode::ABORTED: return "ABORTED";
    case grpc::StatusCode::OUT_OF_RANGE: return "OUT_OF_RANGE";
    case grpc::StatusCode::UNIMPLEMENTED: return "UNIMPLEMENTED";
    case grpc::StatusCode::INTERNAL: return "INTERNAL";
    case grpc::StatusCode::UNAVAILABLE: return "UNAVAILABLE";
    case grpc::StatusCode::DATA_LOSS: return "DATA_LOSS";
    case grpc::StatusCode::UNAUTHENTICATED: return "UNAUTHENTICATED";
    default: return "UNKNOWN";
  }
}

std::mt19937_64& Random() {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  return generator;
}

}  // namespace

std::string Setting(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') throw std::runtime_error(name + " is not set");
  return value;
}

std::vector<Receiver> Receivers(const std::string& token_files) {
  const auto addresses = Split(Setting("HOTSPARE_RECEIVERS"));
  const auto files = Split(Setting(token_files));
  if (addresses.size() != files.size()) throw std::runtime_error(token_files + " does not fit HOTSPARE_RECEIVERS");
  std::vector<Receiver> receivers;
  for (std::size_t i = 0; i < addresses.size(); ++i) receivers.push_back({addresses[i], Secret(files[i])});
  return receivers;
}

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  // A receiver that is gone without a word (power, network) is noticed after four seconds, not after minutes. The third
  // line: without it, gRPC stops to ping a stream on which nothing else is sent. The fourth: without it, newer gRPC
  // takes a ping for lost only after a minute; 1.51 does not know it, and passes over it.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 2000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 2000);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt("grpc.http2.ping_timeout_ms", 2000);
  // Despite its name: how long an attempt to connect may take. Without it, 20 s.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  std::shared_ptr<grpc::ChannelCredentials> security = grpc::InsecureChannelCredentials();
  if (const char* file = std::getenv("HOTSPARE_TLS_CA"); file != nullptr && *file != '\0') {
    grpc::SslCredentialsOptions trusted;
    trusted.pem_root_certs = Contents(file);
    security = grpc::SslCredentials(trusted);
  }
  return grpc::CreateCustomChannel(address, security, arguments);
}

void AsDevice(grpc::ClientContext& context) {
  context.AddMetadata("hotspare-arc-id", Setting("HOTSPARE_ARC_ID"));
  context.AddMetadata("hotspare-device-id", Setting("HOTSPARE_DEVICE_ID"));
  context.AddMetadata("hotspare-device-key", Secret(Setting("HOTSPARE_DEVICE_KEY_FILE")));
}

void WithToken(grpc::ClientContext& context, const std::string& token) {
  context.AddMetadata("authorization", "Bearer " + token);
}

void Within(grpc::ClientContext& context, std::chrono::seconds length) {
  context.set_deadline(std::chrono::system_clock::now() + length);
}

void Say(const std::string& line) {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  std::cout << line << std::endl;
}

bool Refusal::passes() const {
  // A full disk passes, and its RetryInfo says so; a message that is too long stays so.
  if (code == grpc::StatusCode::RESOURCE_EXHAUSTED) return retry_delay.has_value();
  return code == grpc::StatusCode::UNAVAILABLE || code == grpc::StatusCode::DEADLINE_EXCEEDED;
}

bool Refusal::needs_mending() const {
  switch (code) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::FAILED_PRECONDITION: return true;
    default: return false;
  }
}

std::string Refusal::words() const { return std::string("code=") + CodeName(code) + " reason=" + reason; }

Refusal Read(const grpc::Status& status) {
  Refusal refusal;
  refusal.code = status.error_code();
  refusal.message = status.error_message();
  google::rpc::Status details;
  if (!grpc::ExtractErrorDetails(status, &details).ok()) return refusal;
  for (const auto& detail : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    if (detail.UnpackTo(&info) && info.domain() == "hotspare") {
      refusal.reason = info.reason();
      refusal.metadata = {info.metadata().begin(), info.metadata().end()};
    } else if (detail.UnpackTo(&retry)) {
      const auto& delay = retry.retry_delay();
      refusal.retry_delay = std::chrono::duration<double>(delay.seconds() + delay.nanos() / 1e9);
    }
  }
  return refusal;
}

std::chrono::duration<double> Pauses::After(const Refusal& refusal) {
  double seconds = refusal.needs_mending() ? kMending : next_;
  next_ = std::min(2 * next_, kLongest);
  if (refusal.retry_delay) seconds = std::max(seconds, refusal.retry_delay->count());
  // Some longer than others: what came to a stop together should not come back in one moment.
  return std::chrono::duration<double>(seconds * std::uniform_real_distribution<>(1.0, 1.2)(Random()));
}

std::string NewAlarmId() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since = duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch());
  const std::uint64_t time = static_cast<std::uint64_t>(since.count());
  const std::uint64_t high = time << 16 | 0x7000 | (Random()() & 0x0fff);
  const std::uint64_t low = (Random()() & 0x3fffffffffffffff) | 0x8000000000000000;
  std::ostringstream digits;
  digits << std::hex << std::setfill('0') << std::setw(16) << high << std::setw(16) << low;
  std::string id = digits.str();
  for (const std::size_t place : {8, 13, 18, 23}) id.insert(place, "-");
  return id;
}

}  // namespace client
