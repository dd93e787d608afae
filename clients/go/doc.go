// Package taskgate is the client of Taskgate, one gRPC service in front of AWS Deadline Cloud and
// AWS HealthOmics.
//
//	client, err := taskgate.Connect("127.0.0.1:50051")
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer client.Close()
//	task, err := client.GetTask(ctx, &taskgatev1.GetTaskRequest{Name: "omics/runs/1234567/tasks/7654321"})
//
// Requests and responses are the generated messages of gen/v1. Errors are of type [*Error], with their
// details unpacked. Calls end with their context. Unary calls whose context has no deadline have a
// timeout of [DefaultTimeout]; watches, waits and logs have none, and resume when a call breaks.
//
// Enum values and union members that are newer than this package are not errors: an enum is a number,
// and a union is not set.
package taskgate
