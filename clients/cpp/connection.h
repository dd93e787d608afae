// A channel with the options of all Taskgate clients.
#pragma once

#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include <grpcpp/grpcpp.h>

namespace example {

// Returns a channel. The service config, which all clients share, defines the retries.
inline std::shared_ptr<grpc::Channel> Connect(const std::string& address,
                                              const std::string& service_config_file) {
  std::ifstream file(service_config_file);
  const std::string config{std::istreambuf_iterator<char>(file), {}};
  grpc::ChannelArguments arguments;
  if (!config.empty()) {
    arguments.SetServiceConfigJSON(config);
  }
  // A page of tasks with AWS's own messages exceeds gRPC's default of 4 MiB.
  arguments.SetMaxReceiveMessageSize(64 * 1024 * 1024);
  // gRPC waits up to two minutes between attempts to connect by default.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 5'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // For TLS use grpc::SslCredentials({}), and for a token grpc::MetadataCredentialsFromPlugin.
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Sets the deadline of a call; without one it waits forever.
inline void SetTimeout(grpc::ClientContext& context, std::chrono::seconds timeout) {
  context.set_deadline(std::chrono::system_clock::now() + timeout);
}

}  // namespace example
