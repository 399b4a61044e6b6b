// A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver.

#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client.h"
#include "hotspare/v1/alarm_feed_service.grpc.pb.h"
#include "hotspare/v1/alarm_service.grpc.pb.h"

namespace client {
namespace {

// For one attempt, as the comment of both calls says.
constexpr std::chrono::seconds kDeadline{10};

// A burglary in a zone. Its id is made once: by the id the cloud knows a repetition.
hotspare::v1::Alarm NewAlarm(unsigned zone) {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  hotspare::v1::Alarm alarm;
  alarm.set_alarm_id(NewAlarmId());
  alarm.set_qualifier(hotspare::v1::QUALIFIER_NEW);
  alarm.set_code_format(hotspare::v1::CODE_FORMAT_CONTACT_ID);
  alarm.set_code("130");
  alarm.set_partition(1);
  alarm.set_zone(zone);
  alarm.mutable_occur_time()->set_seconds(seconds.count());
  alarm.mutable_occur_time()->set_nanos(static_cast<int>(std::chrono::nanoseconds(since - seconds).count()));
  return alarm;
}

// Waits until the next attempt, and tells that it does.
void Wait(const std::string& alarm_id, const Refusal& refusal, Pauses& pauses) {
  const auto length = pauses.After(refusal);
  std::ostringstream line;
  line << "waiting alarm_id=" << alarm_id << " " << refusal.words() << " seconds=" << std::fixed << std::setprecision(2)
       << length.count();
  Say(line.str());
  // Here stands what wakes somebody.
  if (refusal.needs_mending()) std::cerr << alarm_id << ": " << refusal.message << std::endl;
  std::this_thread::sleep_for(length);
}

void SayRefused(const std::string& alarm_id, const Refusal& refusal) {
  Say("refused alarm_id=" + alarm_id + " " + refusal.words());
  std::cerr << alarm_id << ": " << refusal.message << std::endl;
}

// Publishes an alarm until it is answered; returns whether it was taken.
bool PublishOne(std::unique_ptr<hotspare::v1::AlarmService::Stub>& service, const hotspare::v1::Alarm& alarm) {
  hotspare::v1::PublishAlarmRequest request;
  *request.mutable_submission()->mutable_alarm() = alarm;
  for (Pauses pauses;;) {
    if (!service) service = hotspare::v1::AlarmService::NewStub(Connect(Setting("HOTSPARE_CLOUD")));
    grpc::ClientContext context;
    // The key is read for each attempt, so that one that was replaced counts without a restart.
    AsDevice(context);
    Within(context, kDeadline);
    hotspare::v1::PublishAlarmResponse answer;
    const grpc::Status status = service->PublishAlarm(&context, request, &answer);
    if (status.ok()) {
      Say("published alarm_id=" + alarm.alarm_id() +
          " sequence=" + std::to_string(answer.receipt().account_sequence()) +
          " duplicate=" + (answer.receipt().duplicate() ? "true" : "false"));
      return true;
    }
    const Refusal refusal = Read(status);
    if (refusal.reason == "FIELD_INVALID") {
      // The alarm itself is wrong. Nothing else is final: keys, servers and networks get mended, and then somebody
      // needs this alarm.
      SayRefused(alarm.alarm_id(), refusal);
      return false;
    }
    service.reset();
    Wait(alarm.alarm_id(), refusal, pauses);
  }
}

grpc::Status SendTest(const Receiver& receiver, const std::string& alarm_id,
                      hotspare::v1::SendTestAlarmResponse* answer) {
  const auto service = hotspare::v1::AlarmFeedService::NewStub(Connect(receiver.address));
  grpc::ClientContext context;
  WithToken(context, receiver.token);
  Within(context, kDeadline);
  hotspare::v1::SendTestAlarmRequest request;
  request.set_alarm_id(alarm_id);
  request.set_text("Test by the example");
  return service->SendTestAlarm(&context, request, answer);
}

}  // namespace

int Publish(unsigned count) {
  std::unique_ptr<hotspare::v1::AlarmService::Stub> service;
  bool all_taken = true;
  // One after the other: the next goes when the one before is answered, so their order is kept.
  for (unsigned zone = 1; zone <= count; ++zone) {
    // A real device writes the alarm to its disk here, and takes it from there after a restart. One that is refused
    // must not hold up those behind it.
    if (!PublishOne(service, NewAlarm(zone))) all_taken = false;
  }
  return all_taken ? 0 : 1;
}

// Any member of the group takes the test; one that is away is passed over.
int Test() {
  // An id for each of them: a test is known again only at the receiver that was asked for it.
  std::vector<std::pair<Receiver, std::string>> asked;
  for (const Receiver& receiver : Receivers("HOTSPARE_FEED_TOKEN_FILES")) asked.emplace_back(receiver, NewAlarmId());
  Pauses pauses;
  for (std::size_t turn = 0;; ++turn) {
    const auto& [receiver, alarm_id] = asked[turn % asked.size()];
    hotspare::v1::SendTestAlarmResponse answer;
    const grpc::Status status = SendTest(receiver, alarm_id, &answer);
    if (status.ok()) {
      Say("tested alarm_id=" + alarm_id + " number=" + std::to_string(answer.number()));
      return 0;
    }
    const Refusal refusal = Read(status);
    if (!refusal.passes()) {
      SayRefused(alarm_id, refusal);
      return 1;
    }
    Wait(alarm_id, refusal, pauses);
  }
}

}  // namespace client
