// A device: publishes alarms at the cloud, each until it is answered. And the test alarm of a receiver.

#include <chrono>
#include <memory>
#include <string>

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

}  // namespace

int Publish(unsigned count) {
  std::unique_ptr<hotspare::v1::AlarmService::Stub> service;
  // One after the other: the next goes when the one before is answered, so their order is kept.
  for (unsigned zone = 1; zone <= count; ++zone) {
    hotspare::v1::PublishAlarmRequest request;
    // A real device writes the alarm to its disk here, and takes it from there after a restart.
    *request.mutable_submission()->mutable_alarm() = NewAlarm(zone);
    const std::string& alarm_id = request.submission().alarm().alarm_id();
    hotspare::v1::PublishAlarmResponse answer;
    const bool answered = UntilAnswered(alarm_id, [&] {
      if (!service) service = hotspare::v1::AlarmService::NewStub(Connect(Setting("HOTSPARE_CLOUD")));
      grpc::ClientContext context;
      AsDevice(context);
      Within(context, kDeadline);
      const grpc::Status status = service->PublishAlarm(&context, request, &answer);
      if (!status.ok()) service.reset();
      return status;
    });
    if (!answered) return 1;
    Say("published alarm_id=" + alarm_id + " sequence=" + std::to_string(answer.receipt().account_sequence()) +
        " duplicate=" + (answer.receipt().duplicate() ? "true" : "false"));
  }
  return 0;
}

// Any member of the group takes the test; one that is away is passed over.
int Test() {
  const auto members = Receivers("HOTSPARE_FEED_TOKEN_FILES");
  hotspare::v1::SendTestAlarmRequest request;
  request.set_alarm_id(NewAlarmId());
  request.set_text("Test by the example");
  hotspare::v1::SendTestAlarmResponse answer;
  std::size_t tries = 0;
  const bool answered = UntilAnswered(request.alarm_id(), [&] {
    const Receiver& member = members[tries++ % members.size()];
    const auto service = hotspare::v1::AlarmFeedService::NewStub(Connect(member.address));
    grpc::ClientContext context;
    WithToken(context, member.token);
    Within(context, kDeadline);
    return service->SendTestAlarm(&context, request, &answer);
  });
  if (!answered) return 1;
  Say("tested alarm_id=" + request.alarm_id() + " number=" + std::to_string(answer.number()));
  return 0;
}

}  // namespace client
