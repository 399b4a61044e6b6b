// Automation software: has the alarms of the group, from whichever receiver works.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <iostream>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client.h"
#include "hotspare/v1/alarm_feed_service.grpc.pb.h"

namespace client {
namespace {

using hotspare::v1::AlarmFeedService;
using hotspare::v1::FeedAlarm;
using hotspare::v1::StreamAlarmsRequest;
using hotspare::v1::StreamAlarmsResponse;

// Alarms that may be on their way without an acknowledgement.
constexpr unsigned kWindow = 100;

// One open stream. It takes one writer at a time, and none after the half-close.
class Subscription {
 public:
  Subscription(AlarmFeedService::Stub& service, const std::string& token) {
    WithToken(context_, token);
    stream_ = service.StreamAlarms(&context_);
  }

  // What Write returns is only whether the stream still stands; why it ended, Finish tells.
  void Open(const std::string& name) {
    StreamAlarmsRequest request;
    request.mutable_open()->set_subscription(name);
    request.mutable_open()->set_window(kWindow);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) stream_->Write(request);
  }

  bool Read(StreamAlarmsResponse* response) { return stream_->Read(response); }

  // After the half-close nothing is acknowledged: it comes again, to who follows next.
  void Acknowledge(std::uint64_t cursor) {
    StreamAlarmsRequest request;
    request.mutable_acknowledge()->add_cursors(cursor);
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) stream_->Write(request);
  }

  void HalfClose() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) stream_->WritesDone();
    closed_ = true;
  }

  grpc::Status Finish() { return stream_->Finish(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<StreamAlarmsRequest, StreamAlarmsResponse>> stream_;
  std::mutex mutex_;
  bool closed_ = false;
};

// Keeps a stream to every receiver, in a thread each. Only the one that works sends alarms; but one whose stream is
// missing is not healthy, and could not take over.
class Follower {
 public:
  explicit Follower(unsigned count) : count_(count), name_(Setting("HOTSPARE_SUBSCRIPTION")) {}

  int Run() {
    std::vector<std::thread> threads;
    for (const Receiver& receiver : Receivers("HOTSPARE_FEED_TOKEN_FILES")) {
      threads.emplace_back([this, receiver] { KeepOpen(receiver); });
    }
    for (std::thread& thread : threads) thread.join();
    return failed_ ? 1 : 0;
  }

 private:
  void KeepOpen(const Receiver& receiver) {
    Pauses pauses;
    Refusal refusal;
    do {
      const auto service = AlarmFeedService::NewStub(Connect(receiver.address));
      Subscription subscription(*service, receiver.token);
      if (!Register(&subscription)) return;
      refusal = client::Read(ReadAll(subscription, receiver, pauses));
      Forget(&subscription);
      if (refusal.code == grpc::StatusCode::OK) continue;
      SayLost(receiver, refusal);
      // Somebody else uses the subscription: two that open it would take it from each other for ever. All other errors
      // are of this receiver alone; even a wrong token may be mended while the program runs.
      if (refusal.reason == "STREAM_SUPERSEDED") End(true);
    } while (!EndsWithin(pauses.After(refusal)));
  }

  void SayLost(const Receiver& receiver, const Refusal& refusal) {
    Say("lost receiver=" + receiver.address + " " + refusal.words());
    // Here stands what wakes somebody: a receiver without its subscriber can't take over.
    if (refusal.needs_mending()) std::cerr << receiver.address << ": " << refusal.message << std::endl;
  }

  grpc::Status ReadAll(Subscription& subscription, const Receiver& receiver, Pauses& pauses) {
    subscription.Open(name_);
    StreamAlarmsResponse response;
    while (subscription.Read(&response)) {
      pauses.Reset();
      switch (response.frame_case()) {
        case StreamAlarmsResponse::kState:
          Say("state receiver=" + receiver.address + " working=" + (response.state().working() ? "true" : "false") +
              " epoch=" + std::to_string(response.state().epoch()));
          break;
        case StreamAlarmsResponse::kAlarm: {
          const bool enough = Keep(response.alarm(), receiver);
          // Only now: what was acknowledged never comes again, from no receiver.
          subscription.Acknowledge(response.alarm().cursor());
          if (enough) End(false);
          break;
        }
        default:  // "acknowledged"; and what a later release may add
          break;
      }
    }
    return subscription.Finish();
  }

  // Keeps an alarm; returns whether these are enough. Here stands your database; the identity of device and alarm is
  // its unique key, for after a take-over, or where an acknowledgement was lost, an alarm comes again.
  bool Keep(const FeedAlarm& alarm, const Receiver& receiver) {
    const auto& stored = alarm.stored();
    const std::lock_guard<std::mutex> lock(mutex_);
    const bool is_new = had_.emplace(stored.alarm().device_id(), stored.alarm().alarm_id()).second;
    Say(std::string(is_new ? "alarm" : "again") + " alarm_id=" + stored.alarm().alarm_id() +
        " account=" + stored.account_number() + " sequence=" + std::to_string(stored.account_sequence()) +
        " attempt=" + std::to_string(alarm.attempt()) + " epoch=" + std::to_string(alarm.epoch()) +
        " receiver=" + receiver.address);
    return count_ > 0 && had_.size() >= count_;
  }

  // Half-closes all streams. Each server stores the acknowledgements that are on their way, and ends with OK.
  void End(bool failed) {
    const std::lock_guard<std::mutex> lock(mutex_);
    failed_ = failed_ || failed;
    ended_ = true;
    for (Subscription* subscription : open_) subscription->HalfClose();
    ending_.notify_all();
  }

  bool EndsWithin(std::chrono::duration<double> length) {
    std::unique_lock<std::mutex> lock(mutex_);
    return ending_.wait_for(lock, length, [this] { return ended_; });
  }

  bool Register(Subscription* subscription) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!ended_) open_.insert(subscription);
    return !ended_;
  }

  void Forget(Subscription* subscription) {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_.erase(subscription);
  }

  const unsigned count_;
  const std::string name_;
  std::mutex mutex_;
  std::condition_variable ending_;
  std::set<std::pair<std::string, std::string>> had_;
  std::set<Subscription*> open_;
  bool ended_ = false;
  bool failed_ = false;
};

}  // namespace

int Follow(unsigned count) { return Follower(count).Run(); }

}  // namespace client
