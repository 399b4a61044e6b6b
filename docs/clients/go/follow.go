package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	hotsparev1 "go.hotspare.internal/hotspare/v1"
)

// window is how many alarms may be on their way without an acknowledgement.
const window = 100

// identity tells alarms apart, at whichever receiver they come from.
type identity struct{ deviceID, alarmID string }

// follower is automation software: it has the alarms of the group, from whichever receiver works. It keeps a stream to
// every receiver. Only the one that works sends alarms; but one whose stream is missing is not healthy, and could not
// take over.
type follower struct {
	subscription string
	count        int
	done         chan struct{}

	mutex sync.Mutex
	had   map[identity]bool
	open  map[*subscription]bool
	ended bool
}

// subscription is one open stream.
type subscription struct {
	stream hotsparev1.AlarmFeedService_StreamAlarmsClient
	// A stream takes one writer at a time, and none after the half-close.
	mutex  sync.Mutex
	closed bool
}

func (s *subscription) acknowledge(cursor uint64) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.closed {
		return // it comes again, to who follows next
	}
	acknowledge := &hotsparev1.StreamAlarmsRequest_Acknowledge{Cursors: []uint64{cursor}}
	frame := &hotsparev1.StreamAlarmsRequest_Acknowledge_{Acknowledge: acknowledge}
	// An error here says that the stream has ended; why, the next read tells.
	_ = s.stream.Send(&hotsparev1.StreamAlarmsRequest{Frame: frame})
}

func (s *subscription) halfClose() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.closed = true
	_ = s.stream.CloseSend()
}

// follow follows until count different alarms have come; with 0 for ever.
func follow(ctx context.Context, count int) error {
	members, err := receivers("HOTSPARE_FEED_TOKEN_FILES")
	if err != nil {
		return err
	}
	name, err := setting("HOTSPARE_SUBSCRIPTION")
	if err != nil {
		return err
	}
	f := &follower{
		subscription: name,
		count:        count,
		done:         make(chan struct{}),
		had:          make(map[identity]bool),
		open:         make(map[*subscription]bool),
	}
	// Where one of them fails, the others end with it; nobody waits for what they have to say.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(members))
	for _, member := range members {
		go func(member receiver) { results <- f.keepOpen(ctx, member) }(member)
	}
	for range members {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

// keepOpen reads one stream after the other from a receiver.
func (f *follower) keepOpen(ctx context.Context, from receiver) error {
	channel, err := connect(from.address)
	if err != nil {
		return err
	}
	defer channel.Close()
	service := hotsparev1.NewAlarmFeedServiceClient(channel)
	waits := &pauses{}
	for {
		told := &refusal{}
		err := f.read(withToken(ctx, from.token), service, from, waits)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, io.EOF): // after our half-close, or the server's own end
		default:
			told = read(err)
			sayLost(from, told)
			if told.reason == "STREAM_SUPERSEDED" {
				// Somebody else uses the subscription: two that open it would take it from each other for ever.
				return told
			}
		}
		// All other errors are of this receiver alone; even a wrong token may be mended while the program runs.
		select {
		case <-f.done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(waits.after(told)):
		}
	}
}

func sayLost(from receiver, told *refusal) {
	say("lost receiver=%s code=%s reason=%s", from.address, told.codeName(), told.reason)
	if told.needsMending() {
		// Here stands what wakes somebody: a receiver without its subscriber can't take over.
		fmt.Fprintf(os.Stderr, "%s: %s\n", from.address, told.message)
	}
}

// read reads one stream to its end, which is told as an error.
func (f *follower) read(
	ctx context.Context, service hotsparev1.AlarmFeedServiceClient, from receiver, waits *pauses,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := service.StreamAlarms(ctx)
	if err != nil {
		return err
	}
	open := &hotsparev1.StreamAlarmsRequest_Open{Subscription: f.subscription, Window: window}
	frame := &hotsparev1.StreamAlarmsRequest_Open_{Open: open}
	// As above: an error of Send is told by Recv.
	_ = stream.Send(&hotsparev1.StreamAlarmsRequest{Frame: frame})
	own := &subscription{stream: stream}
	if !f.register(own) {
		return io.EOF
	}
	defer f.forget(own)
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		waits.reset()
		switch frame := response.Frame.(type) {
		case *hotsparev1.StreamAlarmsResponse_State_:
			say("state receiver=%s working=%t epoch=%d", from.address, frame.State.Working, frame.State.Epoch)
		case *hotsparev1.StreamAlarmsResponse_Alarm:
			enough := f.keep(frame.Alarm, from)
			// Only now: what was acknowledged never comes again, from no receiver.
			own.acknowledge(frame.Alarm.Cursor)
			if enough {
				f.end()
			}
		default: // "acknowledged"; and what a later release may add
		}
	}
}

// keep keeps an alarm; it returns whether these are enough. Here stands your database; the identity of device and alarm
// is its unique key, for after a take-over, or where an acknowledgement was lost, an alarm comes again.
func (f *follower) keep(alarm *hotsparev1.FeedAlarm, from receiver) bool {
	stored := alarm.Stored
	id := identity{stored.Alarm.DeviceId, stored.Alarm.AlarmId}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	event := "alarm"
	if f.had[id] {
		event = "again"
	}
	f.had[id] = true
	say("%s alarm_id=%s account=%s sequence=%d attempt=%d epoch=%d receiver=%s", event, id.alarmID,
		stored.AccountNumber, stored.AccountSequence, alarm.Attempt, alarm.Epoch, from.address)
	return f.count > 0 && len(f.had) >= f.count
}

// end half-closes all streams. Each server stores the acknowledgements that are on their way, and ends with OK.
func (f *follower) end() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.ended {
		return
	}
	f.ended = true
	close(f.done)
	for stream := range f.open {
		stream.halfClose()
	}
}

func (f *follower) register(stream *subscription) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if !f.ended {
		f.open[stream] = true
	}
	return !f.ended
}

func (f *follower) forget(stream *subscription) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.open, stream)
}
