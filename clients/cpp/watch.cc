// Follows tasks until all have settled: watch ADDRESS SERVICE_CONFIG_FILE PARENT
//
// A call that breaks is made again with the last token, so that no change is lost.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "connection.h"
#include "taskgate/v1/task_service.grpc.pb.h"

namespace {

using taskgate::v1::WatchTasksResponse;

constexpr int kMostFailures = 60;  // a second each

void Tell(const taskgate::v1::Task& task) {
  std::cout << task.name() << ' ' << taskgate::v1::TaskState_Name(task.state()) << std::endl;
}

// Where a watch goes on: its latest token, but none of within a snapshot, of which the rest would be
// missing.
void Remember(const WatchTasksResponse& response, bool& in_snapshot,
              taskgate::v1::WatchTasksRequest& request) {
  in_snapshot = (in_snapshot || response.has_snapshot_begin()) && !response.has_snapshot_end();
  if (!in_snapshot && !response.resume_token().empty()) {
    request.set_resume_token(response.resume_token());
  }
}

// Whether the watch has ended.
bool Take(const WatchTasksResponse& response) {
  switch (response.event_case()) {
    case WatchTasksResponse::kSnapshotTasks:
      std::for_each(response.snapshot_tasks().tasks().begin(),
                    response.snapshot_tasks().tasks().end(), Tell);
      return false;
    case WatchTasksResponse::kTaskChange:
      Tell(response.task_change().task());
      return false;
    case WatchTasksResponse::kWatchEnd:
      return response.watch_end().reason() != taskgate::v1::WATCH_END_REASON_SERVER_STOPPING;
    default:
      return false;  // a heartbeat, or an event of a newer server
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: watch ADDRESS SERVICE_CONFIG_FILE PARENT\n";
    return EXIT_FAILURE;
  }
  const auto tasks = taskgate::v1::TaskService::NewStub(example::Connect(arguments[1], arguments[2]));
  taskgate::v1::WatchTasksRequest request;
  request.set_parent(arguments[3]);
  request.set_until_settled(true);
  for (int failures = 0; failures < kMostFailures; ++failures) {
    grpc::ClientContext context;
    const auto call = tasks->WatchTasks(&context, request);
    WatchTasksResponse response;
    bool in_snapshot = false;
    while (call->Read(&response)) {
      failures = 0;
      Remember(response, in_snapshot, request);
      if (Take(response)) {
        return EXIT_SUCCESS;
      }
    }
    const grpc::Status status = call->Finish();
    if (!status.ok() && status.error_code() != grpc::StatusCode::UNAVAILABLE) {
      std::cerr << "error " << status.error_code() << ": " << status.error_message() << '\n';
      return EXIT_FAILURE;
    }
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
  std::cerr << "the server is gone\n";
  return EXIT_FAILURE;
}
