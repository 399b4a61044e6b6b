package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
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
func publish(ctx context.Context, count int) error {
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
	service := hotsparev1.NewAlarmServiceClient(channel)
	for zone := 1; zone <= count; zone++ {
		// A real device writes the alarm to its disk here, and takes it from there after a restart.
		alarm := newAlarm(uint32(zone))
		request := &hotsparev1.PublishAlarmRequest{Submission: &hotsparev1.AlarmSubmission{Alarm: alarm}}
		err := untilAnswered(ctx, alarm.AlarmId, func(ctx context.Context) error {
			answer, err := service.PublishAlarm(ctx, request)
			if err != nil {
				return err
			}
			receipt := answer.Receipt
			say("published alarm_id=%s sequence=%d duplicate=%t", alarm.AlarmId, receipt.AccountSequence, receipt.Duplicate)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// test sends a test alarm the whole way. Any member of the group takes it; one that is away is passed over.
func test(ctx context.Context) error {
	members, err := receivers("HOTSPARE_FEED_TOKEN_FILES")
	if err != nil {
		return err
	}
	request := &hotsparev1.SendTestAlarmRequest{AlarmId: newAlarmID(), Text: "Test by the example"}
	tries := 0
	return untilAnswered(ctx, request.AlarmId, func(ctx context.Context) error {
		member := members[tries%len(members)]
		tries++
		channel, err := connect(member.address)
		if err != nil {
			return err
		}
		defer channel.Close()
		answer, err := hotsparev1.NewAlarmFeedServiceClient(channel).SendTestAlarm(withToken(ctx, member.token), request)
		if err != nil {
			return err
		}
		say("tested alarm_id=%s number=%d", request.AlarmId, answer.Number)
		return nil
	})
}
