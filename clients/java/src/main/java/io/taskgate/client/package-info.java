/**
 * A client of Taskgate: the tasks of AWS Deadline Cloud and AWS HealthOmics over one gRPC service.
 *
 * <p>Begin with {@link io.taskgate.client.TaskgateClient#connect}. Requests and answers are the
 * messages of {@code io.taskgate.v1}; every operation of the two AWS services is in {@code
 * io.taskgate.deadline.v1} and {@code io.taskgate.omics.v1}.
 */
@NullMarked
package io.taskgate.client;

import org.jspecify.annotations.NullMarked;
