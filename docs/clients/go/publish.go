package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	hotsparev1 "go.hotspare.internal/hotspare/v1"
)

// publishDeadline is for one attempt, as the comment of both calls says.
const publishDeadline = 10 * time.Second

// newAlarmID makes a UUIDv7: milliseconds since 1970 in front, then random bits.
func newAlarmID() string {
	var id [16]byte
	if _, err := rand.Read(id[6:]); err != nil {
		panic(err) // the system has no random numbers: nothing works on it
	}
	var milliseconds [8]byte
	binary.BigEndian.PutUint64(milliseconds[:], uint64(time.Now().UnixMilli()))
	copy(id[:6], milliseconds[2:])
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// newAlarm is a burglary in a zone. Its id is made once: by the id the cloud knows a repetition.
func newAlarm(zone uint32) *hotsparev1.Alarm {
	return &hotsparev1.Alarm{
		AlarmId:    newAlarmID(),
		Qualifier:  hotsparev1.Qualifier_QUALIFIER_NEW,
		CodeFormat: hotsparev1.CodeFormat_CODE_FORMAT_CONTACT_ID,
		Code:       "130",
		Partition:  1,
		Zone:       zone,
		OccurTime:  timestamppb.Now(),
	}
}

// publish publishes alarms one after the other: the next goes when the one before is answered, so their order is kept.
// It returns the last refusal, where there was one.
func publish(ctx context.Context, count int) error {
	cloud, err := setting("HOTSPARE_CLOUD")
	if err != nil {
		return err
	}
	channel, err := connect(cloud)
	if err != nil {
		return err
	}
	defer channel.Close()
	service := hotsparev1.NewAlarmServiceClient(channel)
	var refused *refusal
	for zone := 1; zone <= count; zone++ {
		// A real device writes the alarm to its disk here, and takes it from there after a restart.
		err := publishOne(ctx, service, newAlarm(uint32(zone)))
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		// One that was refused must not hold up those behind it.
	}
	if refused != nil {
		return refused
	}
	return nil
}

// publishOne publishes an alarm until it is answered.
func publishOne(ctx context.Context, service hotsparev1.AlarmServiceClient, alarm *hotsparev1.Alarm) error {
	request := &hotsparev1.PublishAlarmRequest{Submission: &hotsparev1.AlarmSubmission{Alarm: alarm}}
	waits := &pauses{}
	for {
		// The key is read for each attempt, so that one that was replaced counts without a restart.
		calling, err := asDevice(ctx)
		if err != nil {
			return err
		}
		attempt, cancel := context.WithTimeout(calling, publishDeadline)
		answer, err := service.PublishAlarm(attempt, request)
		cancel()
		if err == nil {
			receipt := answer.Receipt
			say("published alarm_id=%s sequence=%d duplicate=%t", alarm.AlarmId, receipt.AccountSequence, receipt.Duplicate)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		told := read(err)
		if told.reason == "FIELD_INVALID" {
			// The alarm itself is wrong. Nothing else is final: keys, servers and networks get mended, and then
			// somebody needs this alarm.
			sayRefused(alarm.AlarmId, told)
			return told
		}
		if err := wait(ctx, alarm.AlarmId, told, waits); err != nil {
			return err
		}
	}
}

// test sends a test alarm the whole way. Any member of the group takes it; one that is away is passed over.
func test(ctx context.Context) error {
	members, err := receivers("HOTSPARE_FEED_TOKEN_FILES")
	if err != nil {
		return err
	}
	// An id for each of them: a test is known again only at the receiver that was asked for it.
	alarmIDs := make([]string, len(members))
	for i := range alarmIDs {
		alarmIDs[i] = newAlarmID()
	}
	waits := &pauses{}
	for turn := 0; ; turn++ {
		member, alarmID := members[turn%len(members)], alarmIDs[turn%len(members)]
		answer, err := sendTest(ctx, member, alarmID)
		if err == nil {
			say("tested alarm_id=%s number=%d", alarmID, answer.Number)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		told := read(err)
		if !told.passes() {
			sayRefused(alarmID, told)
			return told
		}
		if err := wait(ctx, alarmID, told, waits); err != nil {
			return err
		}
	}
}

func sendTest(ctx context.Context, to receiver, alarmID string) (*hotsparev1.SendTestAlarmResponse, error) {
	channel, err := connect(to.address)
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(withToken(ctx, to.token), publishDeadline)
	defer cancel()
	request := &hotsparev1.SendTestAlarmRequest{AlarmId: alarmID, Text: "Test by the example"}
	return hotsparev1.NewAlarmFeedServiceClient(channel).SendTestAlarm(ctx, request)
}

// wait waits until the next attempt, and tells that it does.
func wait(ctx context.Context, alarmID string, told *refusal, waits *pauses) error {
	length := waits.after(told)
	say("waiting alarm_id=%s code=%s reason=%s seconds=%.2f", alarmID, told.codeName(), told.reason, length.Seconds())
	if told.needsMending() {
		// Here stands what wakes somebody.
		fmt.Fprintf(os.Stderr, "%s: %s\n", alarmID, told.message)
	}
	return pause(ctx, length)
}

func sayRefused(alarmID string, told *refusal) {
	say("refused alarm_id=%s code=%s reason=%s", alarmID, told.codeName(), told.reason)
}
