// Follows tasks until all have settled: watch ADDRESS SERVICE_CONFIG_FILE PARENT
//
// When a call breaks, it calls again with the last resume token, so that no change is missed.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "connection.h"
#include "taskgate/v1/task_service.grpc.pb.h"

namespace {

using taskgate::v1::WatchTasksResponse;

constexpr int kMaxFailures = 60;  // one per second

void Print(const taskgate::v1::Task& task) {
  std::cout << task.name() << ' ' << taskgate::v1::TaskState_Name(task.state()) << std::endl;
}

// Stores the latest resume token, except those within a snapshot: resuming there would omit its first
// part.
void StoreToken(const WatchTasksResponse& response, bool& in_snapshot,
              taskgate::v1::WatchTasksRequest& request) {
  in_snapshot = (in_snapshot || response.has_snapshot_begin()) && !response.has_snapshot_end();
  if (!in_snapshot && !response.resume_token().empty()) {
    request.set_resume_token(response.resume_token());
  }
}

// Prints a response and returns whether the watch is complete.
bool Handle(const WatchTasksResponse& response) {
  switch (response.event_case()) {
    case WatchTasksResponse::kSnapshotTasks:
      std::for_each(response.snapshot_tasks().tasks().begin(),
                    response.snapshot_tasks().tasks().end(), Print);
      return false;
    case WatchTasksResponse::kTaskChange:
      Print(response.task_change().task());
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
  for (int failures = 0; failures < kMaxFailures; ++failures) {
    grpc::ClientContext context;
    const auto call = tasks->WatchTasks(&context, request);
    WatchTasksResponse response;
    bool in_snapshot = false;
    while (call->Read(&response)) {
      failures = 0;
      StoreToken(response, in_snapshot, request);
      if (Handle(response)) {
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
  std::cerr << "the server is unreachable\n";
  return EXIT_FAILURE;
}
