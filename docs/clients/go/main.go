// An example client: a device, automation software, a wallboard. See README.md beside it.
package main

import (
	"context"
	"fmt"
	"math/rand"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	hotsparev1 "go.hotspare.internal/hotspare/v1"
)

const usage = "usage: hotspare-client publish [COUNT] | follow [COUNT] | members [MOVES] | test | errors"

func main() {
	// Before 1.20, Go draws the same numbers in each process: all clients would come back in one moment.
	rand.Seed(time.Now().UnixNano())
	number, err := number(os.Args)
	if err != nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	switch command := os.Args[1]; command {
	case "publish":
		if len(os.Args) == 2 {
			number = 1
		}
		err = publish(ctx, number)
	case "follow":
		err = follow(ctx, number)
	case "members":
		err = members(ctx, number)
	case "test":
		err = test(ctx)
	case "errors":
		err = showRefusals(ctx)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if ctx.Err() != nil {
		os.Exit(130)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// number is the second argument. 0: there is none.
func number(arguments []string) (int, error) {
	switch len(arguments) {
	case 2:
		return 0, nil
	case 3:
		value, err := strconv.ParseUint(arguments[2], 10, 31)
		return int(value), err
	default:
		return 0, fmt.Errorf("%d arguments", len(arguments)-1)
	}
}

// showRefusals makes three calls that are refused, and tells why.
func showRefusals(ctx context.Context) error {
	if err := showWrongAlarm(ctx); err != nil {
		return err
	}
	all, err := receivers("HOTSPARE_VIEWER_TOKEN_FILES")
	if err != nil {
		return err
	}
	for _, from := range all {
		if answered, err := showUnknown(ctx, from); answered || err != nil {
			return err
		}
	}
	return fmt.Errorf("no receiver answers")
}

func showWrongAlarm(ctx context.Context) error {
	cloud, err := setting("HOTSPARE_CLOUD")
	if err != nil {
		return err
	}
	if ctx, err = asDevice(ctx); err != nil {
		return err
	}
	channel, err := connect(cloud)
	if err != nil {
		return err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(ctx, publishDeadline)
	defer cancel()
	alarm := &hotsparev1.Alarm{AlarmId: "no UUID", Code: "130"}
	request := &hotsparev1.PublishAlarmRequest{Submission: &hotsparev1.AlarmSubmission{Alarm: alarm}}
	if _, err := hotsparev1.NewAlarmServiceClient(channel).PublishAlarm(ctx, request); err != nil {
		showRefusal("PublishAlarm", read(err))
	}
	return nil
}

// showUnknown asks a receiver for what is not there; it returns whether it answered.
func showUnknown(ctx context.Context, from receiver) (bool, error) {
	channel, err := connect(from.address)
	if err != nil {
		return false, err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	unknown := &hotsparev1.GetAlarmRequest{Key: &hotsparev1.GetAlarmRequest_AlarmId{AlarmId: newAlarmID()}}
	if _, err := hotsparev1.NewAlarmFeedServiceClient(channel).GetAlarm(withToken(ctx, from.token), unknown); err != nil {
		told := read(err)
		if told.passes() {
			return false, nil // it is away: any other receiver answers the same
		}
		showRefusal("GetAlarm", told)
	}
	request := &hotsparev1.WatchMembersRequest{}
	stream, err := hotsparev1.NewRoleServiceClient(channel).WatchMembers(withToken(ctx, "none"), request)
	for err == nil {
		_, err = stream.Recv()
	}
	showRefusal("WatchMembers", read(err))
	return true, nil
}

// showRefusal tells what a program decides by: never the message.
func showRefusal(call string, told *refusal) {
	line := fmt.Sprintf("error call=%s code=%s reason=%s", call, told.codeName(), told.reason)
	for _, key := range []string{"field", "kind"} {
		if value, ok := told.metadata[key]; ok {
			line += fmt.Sprintf(" %s=%s", key, value)
		}
	}
	say("%s", line)
}
