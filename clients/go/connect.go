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
	_ "google.golang.org/grpc/health" // of the servers, where calls are balanced
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

const (
	// A thousand tasks, each with AWS's own answer, are more than the 4 MiB that gRPC starts with.
	maxMessageBytes = 64 * 1024 * 1024
	// gRPC would wait for up to two minutes before it tries to reach a server again.
	maxReconnectBackoff = 5 * time.Second
	keepaliveTime       = 30 * time.Second
	keepaliveTimeout    = 10 * time.Second

	targetKey = "taskgate-target"
)

//go:embed service-config.json
var serviceConfig string

// TLS says how a connection is encrypted. Files are PEM and are read by [Connect].
type TLS struct {
	// CA is a file with who must have signed the server's certificate; empty: the system's authorities.
	CA string
	// Certificate and Key are files with the client's own, for a server that asks for one (mTLS).
	Certificate, Key string
	// ServerName is the name in the server's certificate, where the address has another.
	ServerName string
}

// TokenSource gives the bearer token for a call. It is asked for each.
type TokenSource func(context.Context) (string, error)

// TokenFile reads the token from a file for each call: who rotates it, such as Kubernetes, tells
// nobody.
func TokenFile(path string) TokenSource {
	return func(context.Context) (string, error) {
		token, err := os.ReadFile(path)
		return strings.TrimSpace(string(token)), err
	}
}

// StaticToken gives always the same token.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

type settings struct {
	tls     *TLS
	token   TokenSource
	target  string
	balance bool
	timing  timing
	dial    []grpc.DialOption
}

// Option changes how [Connect] connects.
type Option func(*settings)

// WithTLS encrypts the connection. TLS{} is for a server with a public certificate.
func WithTLS(how TLS) Option { return func(s *settings) { s.tls = &how } }

// WithToken says who calls. It needs [WithTLS].
func WithToken(source TokenSource) Option { return func(s *settings) { s.token = source } }

// WithTarget picks the AWS account and region to call, by the server's name for it.
func WithTarget(name string) Option { return func(s *settings) { s.target = name } }

// WithBalancing calls all the servers of a dns:/// address in turn, each while it says that it
// serves. Not for a proxy, which balances itself.
func WithBalancing() Option { return func(s *settings) { s.balance = true } }

// WithDialOptions adds options of gRPC's own, such as stats handlers.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// Connect gives a client of the server at an address (host:port, or what else gRPC knows), in
// plaintext unless WithTLS is among the options. Nothing is sent until the first call.
//
// Reads that find a connection or a server gone are made again, a few times within a second or two.
func Connect(address string, options ...Option) (*Client, error) {
	chosen := settings{timing: realTiming()}
	for _, option := range options {
		option(&chosen)
	}
	transport, err := chosen.credentials()
	if err != nil {
		return nil, err
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(configFor(chosen.balance)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)),
		grpc.WithConnectParams(connectParams()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
	}, chosen.dial...)
	if chosen.token != nil {
		dial = append(dial, grpc.WithPerRPCCredentials(bearer{chosen.token}))
	}
	if chosen.target != "" {
		dial = append(dial, sendsTarget(chosen.target)...)
	}
	connection, err := grpc.NewClient(address, dial...)
	if err != nil {
		return nil, fmt.Errorf("taskgate: %w", err)
	}
	return newClient(connection, chosen.timing), nil
}

func (s *settings) credentials() (credentials.TransportCredentials, error) {
	if s.tls == nil {
		if s.token != nil {
			return nil, errors.New("taskgate: a token needs TLS: everybody on the way could read it")
		}
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: s.tls.ServerName}
	if s.tls.CA != "" {
		pem, err := os.ReadFile(s.tls.CA)
		if err != nil {
			return nil, fmt.Errorf("taskgate: the authorities' file: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("taskgate: %s has no certificate", s.tls.CA)
		}
	}
	if (s.tls.Certificate == "") != (s.tls.Key == "") {
		return nil, errors.New("taskgate: a client certificate needs its key, and a key its certificate")
	}
	if s.tls.Certificate != "" {
		own, err := tls.LoadX509KeyPair(s.tls.Certificate, s.tls.Key)
		if err != nil {
			return nil, fmt.Errorf("taskgate: the client's certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return credentials.NewTLS(config), nil
}

type bearer struct{ source TokenSource }

func (b bearer) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token, err := b.source(ctx)
	if err != nil {
		return nil, err
	}
	// What gRPC says of such a token may have the whole token in it.
	if strings.ContainsFunc(token, func(each rune) bool { return each < ' ' || each > '~' }) {
		return nil, errors.New("the token has characters that cannot be sent")
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

func sendsTarget(target string) []grpc.DialOption {
	with := func(ctx context.Context) context.Context {
		return metadata.AppendToOutgoingContext(ctx, targetKey, target)
	}
	return []grpc.DialOption{
		grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, request, reply any,
			connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			return invoke(with(ctx), method, request, reply, connection, options...)
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, description *grpc.StreamDesc,
			connection *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			return open(with(ctx), description, connection, method, options...)
		}),
	}
}

func connectParams() grpc.ConnectParams {
	params := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 20 * time.Second}
	params.Backoff.MaxDelay = maxReconnectBackoff
	return params
}

// configFor is the service config that all languages share, without what is for many servers where
// there is one.
func configFor(balance bool) string {
	if balance {
		return serviceConfig
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal([]byte(serviceConfig), &whole); err != nil {
		panic(err) // it is part of this package
	}
	delete(whole, "loadBalancingConfig")
	delete(whole, "healthCheckConfig")
	config, err := json.Marshal(whole)
	if err != nil {
		panic(err) // it was JSON a moment ago
	}
	return string(config)
}
