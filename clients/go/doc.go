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
// Requests and answers are the generated messages of gen/v1. Errors are [*Error]s, with the details
// unpacked. Calls end with their context; those whose context has no deadline end after
// [DefaultTimeLimit], but for watches, waits and logs, which go on across lost connections.
//
// An enum word or a union member that is newer than this package is data: a number, or a field that
// is not set, never an error.
package taskgate
