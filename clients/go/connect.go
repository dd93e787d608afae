package taskgate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed" // the service config
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // client-side health checks, for load balancing
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	// A thousand tasks with AWS's own messages exceed gRPC's default of 4 MiB.
	maxMessageBytes = 64 * 1024 * 1024
	// gRPC waits up to two minutes between attempts to connect by default.
	maxReconnectBackoff = 5 * time.Second
	keepaliveTime       = 30 * time.Second
	keepaliveTimeout    = 10 * time.Second

	targetKey = "taskgate-target"
)

//go:embed service-config.json
var serviceConfig string

// TLS has the options of an encrypted connection. Its files are PEM, and are read by [Connect].
type TLS struct {
	// CA is a file of CA certificates that sign the server's certificate; empty for those of the system.
	CA string
	// Certificate and Key are files of the client's certificate, for a server that requires one (mTLS).
	Certificate, Key string
	// ServerName is the name in the server's certificate, if it differs from the address.
	ServerName string
}

// TokenSource returns the bearer token for a call. The client calls it for each call.
type TokenSource func(context.Context) (string, error)

// TokenFile reads the token from a file for each call, as its token may be rotated.
func TokenFile(path string) TokenSource {
	return func(context.Context) (string, error) {
		token, err := os.ReadFile(path)
		return strings.TrimSpace(string(token)), err
	}
}

// StaticToken always returns the same token.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

type settings struct {
	tls     *TLS
	token   TokenSource
	target  string
	balance bool
	retried []string
	timing  timing
	dial    []grpc.DialOption
}

// Option is an option of [Connect].
type Option func(*settings)

// WithTLS encrypts the connection. TLS{} is for a server with a public certificate.
func WithTLS(options TLS) Option { return func(s *settings) { s.tls = &options } }

// WithToken sends the caller's bearer token with each call. It requires [WithTLS].
func WithToken(source TokenSource) Option { return func(s *settings) { s.token = source } }

// WithTarget selects the AWS account and region to call, by the name that the server gives it.
func WithTarget(name string) Option { return func(s *settings) { s.target = name } }

// WithBalancing calls all servers of a dns:/// address in turn, as long as their health service
// reports that they serve. Do not use it with a proxy, which balances the load itself.
func WithBalancing() Option { return func(s *settings) { s.balance = true } }

// WithRetried retries calls of RPCs of other services like reads. Their paths are the constants of the
// generated stubs, such as batchv1.BatchService_ListJobs_FullMethodName of a plug-in.
func WithRetried(paths ...string) Option {
	return func(s *settings) { s.retried = append(s.retried, paths...) }
}

// WithDialOptions adds options of gRPC, such as stats handlers.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// Connect returns a client of the server at an address: host:port, or another form of gRPC. The
// connection is in plaintext unless WithTLS is among the options. The client connects with its first
// call.
//
// Reads that fail because a connection or server was lost are retried, a few times within a second
// or two.
func Connect(address string, options ...Option) (*Client, error) {
	config := settings{timing: realTiming()}
	for _, option := range options {
		option(&config)
	}
	transport, err := config.credentials()
	if err != nil {
		return nil, err
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(configFor(config.balance, config.retried)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithConnectParams(connectParams()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
	}, config.dial...)
	if config.token != nil {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{config.token}))
	}
	if config.target != "" {
		dial = append(dial, targetOptions(config.target)...)
	}
	connection, err := grpc.NewClient(address, dial...)
	if err != nil {
		return nil, fmt.Errorf("taskgate: %w", err)
	}
	return newClient(connection, config.timing), nil
}

func (s *settings) credentials() (credentials.TransportCredentials, error) {
	if s.tls == nil {
		if s.token != nil {
			return nil, errors.New("taskgate: a token requires TLS; in plaintext anyone on the network can read it")
		}
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.tls.ServerName}
	if s.tls.CA != "" {
		pem, err := os.ReadFile(s.tls.CA)
		if err != nil {
			return nil, fmt.Errorf("taskgate: the CA file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("taskgate: the CA file %s has no certificate", s.tls.CA)
		}
	}
	if (s.tls.Certificate == "") != (s.tls.Key == "") {
		return nil, errors.New("taskgate: a client certificate and its key have to be given together")
	}
	if s.tls.Certificate != "" {
		certificate, err := tls.LoadX509KeyPair(s.tls.Certificate, s.tls.Key)
		if err != nil {
			return nil, fmt.Errorf("taskgate: the client's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{certificate}
	}
	return credentials.NewTLS(config), nil
}

type bearer struct{ source TokenSource }

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	// gRPC would check it, too, but its error message may contain the token.
	if strings.ContainsFunc(token, func(each rune) bool { return each < ' ' || each > '~' }) {
		return nil, errors.New("the token has characters that cannot be sent; use printable ASCII")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

func targetOptions(target string) []grpc.DialOption {
	withTarget := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, targetKey, target)
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any,
			connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			return invoke(withTarget(ctx), method, request, reply, connection, options...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, description *grpc.StreamDesc,
			connection *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			return open(withTarget(ctx), description, connection, method, options...)
		}),
	}
}

func connectParams() grpc.ConnectParams {
	params := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 20 * time.Second}
	params.Backoff.MaxDelay = maxReconnectBackoff
	return params
}

// configFor returns the service config that all languages share, with load balancing only if balance
// is true, and with the paths of RPCs of other services that are retried.
func configFor(balance bool, retried []string) string {
	var shared map[string]json.RawMessage
	var methods []methodConfig
	if err := json.Unmarshal([]byte(serviceConfig), &shared); err != nil {
		panic(err) // the JSON is embedded in this package
	}
	if err := json.Unmarshal(shared["methodConfig"], &methods); err != nil {
		panic(err) // as above
	}
	for _, path := range retried {
		service, method, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		methods[0].Name = append(methods[0].Name, methodName{service, method})
	}
	if !balance {
		delete(shared, "loadBalancingConfig")
		delete(shared, "healthCheckConfig")
	}
	shared["methodConfig"] = marshal(methods)
	return string(marshal(shared))
}

type methodConfig struct {
	Name        []methodName    `json:"name"`
	RetryPolicy json.RawMessage `json:"retryPolicy"`
}

type methodName struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

func marshal(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // it was unmarshalled before
	}
	return text
}
