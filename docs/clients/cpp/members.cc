// A wallboard: watches who of the group works. And the calls that show how errors are read.

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <thread>

#include "client.h"
#include "hotspare/v1/alarm_feed_service.grpc.pb.h"
#include "hotspare/v1/alarm_service.grpc.pb.h"
#include "hotspare/v1/role_service.grpc.pb.h"

namespace client {
namespace {

// Before the next receiver is asked.
constexpr std::chrono::milliseconds kNextPause{500};

// The name without its prefix. A number that a later release added has no name, and counts as unspecified.
std::string Bare(const std::string& name, const std::string& prefix) {
  return name.empty() ? "UNSPECIFIED" : name.substr(prefix.size());
}

std::string RoleName(hotspare::v1::Role role) { return Bare(hotspare::v1::Role_Name(role), "ROLE_"); }

std::string StatusName(hotspare::v1::MemberStatus status) {
  return Bare(hotspare::v1::MemberStatus_Name(status), "MEMBER_STATUS_");
}

class Watcher {
 public:
  explicit Watcher(unsigned moves) : moves_(moves) {}

  // Watches at one receiver, until enough was seen or the stream ends with an error.
  grpc::Status Watch(const Receiver& receiver) {
    const auto service = hotspare::v1::RoleService::NewStub(Connect(receiver.address));
    grpc::ClientContext context;
    WithToken(context, receiver.token);
    const auto stream = service->WatchMembers(&context, {});
    hotspare::v1::WatchMembersResponse state;
    // Every message is the whole state, so nothing is missed between two streams.
    while (stream->Read(&state)) {
      Show(state);
      if (moves_ > 0 && seen_ >= moves_) {
        context.TryCancel();
        stream->Finish();
        return grpc::Status::OK;
      }
    }
    return stream->Finish();
  }

 private:
  void Show(const hotspare::v1::WatchMembersResponse& state) {
    const std::string& now = state.group().working_receiver_id();
    std::string working = "-";
    for (const auto& member : state.members()) {
      if (member.receiver().receiver_id() == now) working = RoleName(member.role());
    }
    Say("group epoch=" + std::to_string(state.group().epoch()) + " working=" + working);
    for (const auto& member : state.members()) {
      std::string name = member.receiver().name();
      std::replace(name.begin(), name.end(), ' ', '_');
      Say("member role=" + RoleName(member.role()) + " status=" + StatusName(member.status()) + " name=" + name);
    }
    if (now.empty()) return;  // nobody works: between two receivers, or for longer
    if (!worked_.empty() && now != worked_) ++seen_;
    worked_ = now;
  }

  const unsigned moves_;
  unsigned seen_ = 0;
  std::string worked_;
};

// Tells what a program decides by: never the message.
void ShowRefusal(const std::string& call, const Refusal& refusal) {
  std::string line = "error call=" + call + " " + refusal.words();
  for (const char* key : {"field", "kind"}) {
    if (const auto found = refusal.metadata.find(key); found != refusal.metadata.end()) {
      line += " " + found->first + "=" + found->second;
    }
  }
  Say(line);
}

void ShowWrongAlarm() {
  const auto service = hotspare::v1::AlarmService::NewStub(Connect(Setting("HOTSPARE_CLOUD")));
  grpc::ClientContext context;
  AsDevice(context);
  Within(context, std::chrono::seconds(10));
  hotspare::v1::PublishAlarmRequest request;
  request.mutable_submission()->mutable_alarm()->set_alarm_id("no UUID");
  request.mutable_submission()->mutable_alarm()->set_code("130");
  hotspare::v1::PublishAlarmResponse answer;
  ShowRefusal("PublishAlarm", Read(service->PublishAlarm(&context, request, &answer)));
}

// Asks a receiver for what is not there; returns whether it answered.
bool ShowUnknown(const Receiver& receiver) {
  const auto channel = Connect(receiver.address);
  grpc::ClientContext asking;
  WithToken(asking, receiver.token);
  Within(asking, std::chrono::seconds(5));
  hotspare::v1::GetAlarmRequest unknown;
  unknown.set_alarm_id(NewAlarmId());
  hotspare::v1::GetAlarmResponse answer;
  const auto refusal = Read(hotspare::v1::AlarmFeedService::NewStub(channel)->GetAlarm(&asking, unknown, &answer));
  if (refusal.passes()) return false;  // it is away: any other receiver answers the same
  ShowRefusal("GetAlarm", refusal);

  grpc::ClientContext watching;
  WithToken(watching, "none");
  const auto service = hotspare::v1::RoleService::NewStub(channel);
  const auto stream = service->WatchMembers(&watching, {});
  hotspare::v1::WatchMembersResponse state;
  while (stream->Read(&state)) continue;
  ShowRefusal("WatchMembers", Read(stream->Finish()));
  return true;
}

}  // namespace

// Follows the group at one receiver after the other: each of them tells the whole of it.
int Members(unsigned moves) {
  const auto receivers = Receivers("HOTSPARE_VIEWER_TOKEN_FILES");
  Watcher watcher(moves);
  for (std::size_t turn = 0;; ++turn) {
    const Receiver& receiver = receivers[turn % receivers.size()];
    const grpc::Status status = watcher.Watch(receiver);
    if (status.ok()) return 0;
    const Refusal refusal = Read(status);
    Say("lost receiver=" + receiver.address + " " + refusal.words());
    if (!refusal.passes()) {
      std::cerr << receiver.address << ": " << refusal.message << std::endl;
      return 1;
    }
    std::this_thread::sleep_for(kNextPause);
  }
}

int Errors() {
  ShowWrongAlarm();
  for (const Receiver& receiver : Receivers("HOTSPARE_VIEWER_TOKEN_FILES")) {
    if (ShowUnknown(receiver)) return 0;
  }
  std::cerr << "no receiver answers" << std::endl;
  return 1;
}

}  // namespace client
