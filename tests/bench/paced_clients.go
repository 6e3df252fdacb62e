// Clients that ingest on a schedule, whether or not their last few hundred requests have been answered:
//
//	paced_clients ADDRESS ROWS_FILE CLIENTS REQUESTS_PER_S REQUESTS
//
// Each client has a connection of its own and sends REQUESTS times the IngestEventsRequest in ROWS_FILE, with
// its name (client-0, …) as source and the request's number as batch_id. One that is refused for now is sent
// again, with its id, when the server says. The program prints "ready" once all are connected, begins when it
// reads a line, and prints what came as JSON.
//
// In Go, because a client in Python takes as much of the processor for a small request as the server does.
// Built within the module in clients/go.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
)

const method = "/argus_grpc.v1.IngestService/IngestEvents"

// IngestEventsRequest and IngestEventsResponse, by number.
const (
	sourceField        = 3
	batchIDField       = 4
	firstSequenceField = 1
)

// asIs sends and receives messages as bytes.
type asIs struct{}

func (asIs) Marshal(message any) ([]byte, error) { return message.([]byte), nil }

func (asIs) Unmarshal(data []byte, message any) error {
	*message.(*[]byte) = append([]byte(nil), data...)
	return nil
}

func (asIs) Name() string { return "proto" }

// maxUnderWay bounds the requests that a client has sent and not seen stored; those that are due wait here
// then, which counts. A server that is sent more than it can even refuse ends calls without a word.
const maxUnderWay = 512

// outcome is what came, by client and request.
type outcome struct {
	// From when a request was due to its answer.
	Seconds [][]float64 `json:"seconds"`
	// The first sequence that the batch was given.
	Firsts   [][]uint64 `json:"firsts"`
	Refusals int64      `json:"refusals"`
	// Of this program, user and system.
	CPUSeconds float64 `json:"cpu_s"`
}

func main() {
	address, rowsFile := os.Args[1], os.Args[2]
	clients, requests := must(strconv.Atoi(os.Args[3])), must(strconv.Atoi(os.Args[5]))
	interval := time.Duration(float64(clients) / must(strconv.ParseFloat(os.Args[4], 64)) * float64(time.Second))
	rows := must(os.ReadFile(rowsFile))
	connections := make([]*grpc.ClientConn, clients)
	for client := range connections {
		connections[client] = connect(address)
	}
	fmt.Println("ready")
	must(bufio.NewReader(os.Stdin).ReadString('\n'))

	came := outcome{Seconds: make([][]float64, clients), Firsts: make([][]uint64, clients)}
	var refusals atomic.Int64
	var unanswered sync.WaitGroup
	cpuBefore, start := cpuSeconds(), time.Now()
	for client, connection := range connections {
		came.Seconds[client], came.Firsts[client] = make([]float64, requests), make([]uint64, requests)
		// Their turns are spread over the interval.
		first := start.Add(interval * time.Duration(client) / time.Duration(clients))
		unanswered.Add(requests)
		go func() {
			underWay := make(chan struct{}, maxUnderWay)
			for number := range requests {
				due := first.Add(interval * time.Duration(number))
				time.Sleep(time.Until(due))
				underWay <- struct{}{}
				go func() {
					defer unanswered.Done()
					defer func() { <-underWay }()
					answer := send(connection, named(rows, client, number), &refusals)
					came.Seconds[client][number] = time.Since(due).Seconds()
					came.Firsts[client][number] = firstSequence(answer)
				}()
			}
		}()
	}
	unanswered.Wait()
	came.Refusals, came.CPUSeconds = refusals.Load(), cpuSeconds()-cpuBefore
	check(json.NewEncoder(os.Stdout).Encode(came))
}

func connect(address string) *grpc.ClientConn {
	connection := must(grpc.NewClient(
		address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(asIs{})),
	))
	connection.Connect()
	for state := connection.GetState(); state != connectivity.Ready; state = connection.GetState() {
		connection.WaitForStateChange(context.Background(), state)
	}
	return connection
}

// named is the request with an id: messages that follow one another are merged.
func named(rows []byte, client, number int) []byte {
	request := append(make([]byte, 0, len(rows)+64), rows...)
	request = protowire.AppendTag(request, sourceField, protowire.BytesType)
	request = protowire.AppendString(request, fmt.Sprintf("client-%d", client))
	request = protowire.AppendTag(request, batchIDField, protowire.BytesType)
	return protowire.AppendString(request, strconv.Itoa(number))
}

// send sends it until it is stored, as long as it is refused for the time being only.
func send(connection *grpc.ClientConn, request []byte, refusals *atomic.Int64) []byte {
	for {
		var answer []byte
		err := connection.Invoke(context.Background(), method, request, &answer)
		if err == nil {
			return answer
		}
		time.Sleep(retryAfter(err))
		refusals.Add(1)
	}
}

// retryAfter ends the program if there is no use in sending it again.
func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	check(err)
	return 0
}

func firstSequence(answer []byte) uint64 {
	number, _, tagBytes := protowire.ConsumeTag(answer)
	value, valueBytes := protowire.ConsumeVarint(answer[max(tagBytes, 0):])
	if number != firstSequenceField || valueBytes < 0 {
		check(fmt.Errorf("not an IngestEventsResponse: %x", answer))
	}
	return value
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "paced_clients:", err)
		os.Exit(1)
	}
}
