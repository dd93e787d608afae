/**
 * The client of Taskgate, one gRPC service for AWS Deadline Cloud and AWS HealthOmics tasks.
 *
 * <p>Start with {@link io.taskgate.client.TaskgateClient#connect}. Requests and responses are the
 * messages of {@code io.taskgate.v1}; every operation of the two AWS services is in {@code
 * io.taskgate.deadline.v1} and {@code io.taskgate.omics.v1}.
 */
@NullMarked
package io.taskgate.client;

import org.jspecify.annotations.NullMarked;
