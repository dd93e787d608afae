// A channel as all clients of Taskgate have it.
#pragma once

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

namespace example {

// The service config says which calls are safe to try again, and how often; all clients share one.
inline std::shared_ptr<grpc::Channel> Connect(const std::string& address,
                                              const std::string& service_config_file) {
  std::ifstream file(service_config_file);
  const std::string config{std::istreambuf_iterator<char>(file), {}};
  grpc::ChannelArguments arguments;
  if (!config.empty()) {
    arguments.SetServiceConfigJSON(config);
  }
  // A page of tasks, each with AWS's own answer, is more than the 4 MiB that gRPC starts with.
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  // gRPC would wait for up to two minutes before it tries to reach a server again.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // With TLS: grpc::SslCredentials({}), and a token by grpc::MetadataCredentialsFromPlugin.
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Without a deadline a call waits for ever.
inline void EndAfter(grpc::ClientContext& context, std::chrono::seconds limit) {
  context.set_deadline(std::chrono::system_clock::now() + limit);
}

}  // namespace example
