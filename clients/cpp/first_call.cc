// Reads a task: first_call ADDRESS SERVICE_CONFIG_FILE TASK_NAME
#include <cstdlib>
#include <iostream>

#include "connection.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "taskgate/v1/task_service.grpc.pb.h"

namespace {

// Prints the details of an error.
void PrintDetails(const grpc::Status& status) {
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  for (const auto& packed : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::BadRequest fields;
    if (packed.UnpackTo(&info)) {
      std::cerr << "reason " << info.reason() << " of " << info.domain() << '\n';
    } else if (packed.UnpackTo(&fields)) {
      for (const auto& violation : fields.field_violations()) {
        std::cerr << violation.field() << ": " << violation.description() << '\n';
      }
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: first_call ADDRESS SERVICE_CONFIG_FILE TASK_NAME\n";
    return EXIT_FAILURE;
  }
  const auto tasks = taskgate::v1::TaskService::NewStub(example::Connect(arguments[1], arguments[2]));
  grpc::ClientContext context;
  example::SetTimeout(context, std::chrono::seconds(30));
  taskgate::v1::GetTaskRequest request;
  request.set_name(arguments[3]);
  taskgate::v1::GetTaskResponse response;
  const grpc::Status status = tasks->GetTask(&context, request, &response);
  if (!status.ok()) {
    std::cerr << "error " << status.error_code() << ": " << status.error_message() << '\n';
    PrintDetails(status);
    return EXIT_FAILURE;
  }
  std::cout << response.task().name() << ' ' << taskgate::v1::TaskState_Name(response.task().state()) << '\n';
  return EXIT_SUCCESS;
}
