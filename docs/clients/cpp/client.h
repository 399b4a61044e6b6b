// What all parts of the example share: what the environment tells, channels made of it, and why a call failed.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/grpcpp.h>

namespace client {

// A member of the group. Tokens belong to one receiver, so each has its own.
struct Receiver {
  std::string address;
  std::string token;
};

// A variable of the environment that must be there. Throws std::runtime_error where it is not.
std::string Setting(const std::string& name);

// All receivers of the group, with the tokens of one kind: the files that this variable names.
std::vector<Receiver> Receivers(const std::string& token_files);

// A channel to a server; it connects at the first call. Between calls nobody drives a channel of the synchronous
// interface: one that has lost its server may not come back for long. So after an error that passes, make a new one.
std::shared_ptr<grpc::Channel> Connect(const std::string& address);

// Makes a call that of the device.
void AsDevice(grpc::ClientContext& context);

// Makes a call carry a token.
void WithToken(grpc::ClientContext& context, const std::string& token);

// Gives a call a deadline: without one it waits for ever.
void Within(grpc::ClientContext& context, std::chrono::seconds length);

// Prints an event whole and at once: somebody may be waiting for it at the other end of a pipe.
void Say(const std::string& line);

// A failed call, by what a program may decide on; the text of an error is for people, and may change.
struct Refusal {
  grpc::StatusCode code = grpc::StatusCode::OK;
  // Of the contract, as errors.proto names it. "-": none, so the error is of gRPC itself.
  std::string reason = "-";
  // The changing parts of the message, under the keys that errors.proto names.
  std::map<std::string, std::string> metadata;
  // How long to wait before trying again. None: the server did not say.
  std::optional<std::chrono::duration<double>> retry_delay;
  std::string message;

  // Whether the same call may succeed soon. A reason that is not known here is taken by its code.
  bool passes() const;
  // Whether somebody has to mend something first: a key, a token, a subscription, a setting.
  bool needs_mending() const;
  // `code=… reason=…`, with the canonical name of the code.
  std::string words() const;
};

// Reads a failed call with its details.
Refusal Read(const grpc::Status& status);

// The pauses between attempts; they grow with each failure in a row.
class Pauses {
 public:
  // It worked again.
  void Reset() { next_ = kFirst; }
  // How long to wait until the next attempt: no less than the server asked for.
  std::chrono::duration<double> After(const Refusal& refusal);

 private:
  static constexpr double kFirst = 0.2;
  static constexpr double kLongest = 5.0;
  // While somebody has to mend something, trying oftener only makes load.
  static constexpr double kMending = 60.0;
  double next_ = kFirst;
};

// A UUIDv7: milliseconds since 1970 in front, then random bits.
std::string NewAlarmId();

// The commands. They return the exit status of the program.
int Publish(unsigned count);
int Follow(unsigned count);
int Members(unsigned moves);
int Test();
int Errors();

}  // namespace client
