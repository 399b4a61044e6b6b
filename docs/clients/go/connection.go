package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
)

// receiver is a member of the group. Tokens belong to one receiver, so each has its own.
type receiver struct {
	address string
	token   string
}

// setting reads a variable of the environment that must be there.
func setting(name string) (string, error) {
	value := os.Getenv(name)
	if value == "" {
		return "", fmt.Errorf("%s is not set", name)
	}
	return value, nil
}

// secret reads a token or a key from the file that a variable names.
func secret(file string) (string, error) {
	text, err := os.ReadFile(file)
	return strings.TrimSpace(string(text)), err
}

// receivers tells all receivers of the group, with the tokens of one kind.
func receivers(tokenFiles string) ([]receiver, error) {
	addresses, err := setting("HOTSPARE_RECEIVERS")
	if err != nil {
		return nil, err
	}
	files, err := setting(tokenFiles)
	if err != nil {
		return nil, err
	}
	all := strings.Split(addresses, ",")
	fileOf := strings.Split(files, ",")
	if len(all) != len(fileOf) {
		return nil, fmt.Errorf("HOTSPARE_RECEIVERS names %d receivers, %s %d files", len(all), tokenFiles, len(fileOf))
	}
	var found []receiver
	for i, address := range all {
		token, err := secret(fileOf[i])
		if err != nil {
			return nil, err
		}
		found = append(found, receiver{address, token})
	}
	return found, nil
}

// asDevice returns a context whose calls are those of the device.
func asDevice(ctx context.Context) (context.Context, error) {
	arcID, err := setting("HOTSPARE_ARC_ID")
	if err != nil {
		return nil, err
	}
	deviceID, err := setting("HOTSPARE_DEVICE_ID")
	if err != nil {
		return nil, err
	}
	file, err := setting("HOTSPARE_DEVICE_KEY_FILE")
	if err != nil {
		return nil, err
	}
	key, err := secret(file)
	if err != nil {
		return nil, err
	}
	return metadata.AppendToOutgoingContext(ctx,
		"hotspare-arc-id", arcID, "hotspare-device-id", deviceID, "hotspare-device-key", key), nil
}

// withToken returns a context whose calls carry a token.
func withToken(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// connect makes a channel to a server. It connects at the first call, and again by itself.
func connect(address string) (*grpc.ClientConn, error) {
	security := grpc.WithInsecure()
	if file := os.Getenv("HOTSPARE_TLS_CA"); file != "" {
		trusted, err := credentials.NewClientTLSFromFile(file, "")
		if err != nil {
			return nil, err
		}
		security = grpc.WithTransportCredentials(trusted)
	}
	// gRPC for Go pings no oftener than every 10 s. A machine that is gone without a word (power, network) is found
	// earlier by TCP: its probes go every 2 s, and gRPC has the kernel end a connection on which nothing was answered
	// for the timeout below.
	dialer := net.Dialer{KeepAlive: 2 * time.Second}
	return grpc.Dial(address, security,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", address)
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 2 * time.Second}),
		// Without this a channel that could not connect for a while tries again only every two minutes.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff: backoff.Config{
				BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second,
			},
			MinConnectTimeout: 5 * time.Second,
		}))
}

// say prints an event in one write, at once: somebody may be waiting for it at the other end of a pipe.
func say(format string, values ...interface{}) {
	fmt.Printf(format+"\n", values...)
}

// pause waits, unless the program is to end.
func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
