package main

import (
	"context"
	"strings"
	"time"

	hotsparev1 "go.hotspare.internal/hotspare/v1"
)

// nextPause passes before the next receiver is asked.
const nextPause = 500 * time.Millisecond

// watcher is a wallboard: it shows who of the group works.
type watcher struct {
	moves  int
	seen   int
	worked string
}

// members watches until the work has moved so many times; with 0 for ever. It follows the group at one receiver after
// the other: each of them tells the whole of it.
func members(ctx context.Context, moves int) error {
	all, err := receivers("HOTSPARE_VIEWER_TOKEN_FILES")
	if err != nil {
		return err
	}
	w := &watcher{moves: moves}
	for turn := 0; ; turn++ {
		from := all[turn%len(all)]
		err := w.watch(ctx, from)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		told := read(err)
		say("lost receiver=%s code=%s reason=%s", from.address, told.codeName(), told.reason)
		if !told.passes() {
			return told
		}
		if err := pause(ctx, nextPause); err != nil {
			return err
		}
	}
}

// watch watches at one receiver, until enough was seen or the stream ends with an error.
func (w *watcher) watch(ctx context.Context, from receiver) error {
	channel, err := connect(from.address)
	if err != nil {
		return err
	}
	defer channel.Close()
	request := &hotsparev1.WatchMembersRequest{}
	stream, err := hotsparev1.NewRoleServiceClient(channel).WatchMembers(withToken(ctx, from.token), request)
	if err != nil {
		return err
	}
	for {
		// Every message is the whole state, so nothing is missed between two streams.
		state, err := stream.Recv()
		if err != nil {
			return err
		}
		w.show(state)
		if w.moves > 0 && w.seen >= w.moves {
			return nil
		}
	}
}

func (w *watcher) show(state *hotsparev1.WatchMembersResponse) {
	working := "-"
	for _, member := range state.Members {
		if member.Receiver.ReceiverId == state.Group.WorkingReceiverId {
			working = roleName(member.Role)
		}
	}
	say("group epoch=%d working=%s", state.Group.Epoch, working)
	for _, member := range state.Members {
		name := strings.ReplaceAll(member.Receiver.Name, " ", "_")
		say("member role=%s status=%s name=%s", roleName(member.Role), statusName(member.Status), name)
	}
	now := state.Group.WorkingReceiverId
	if now == "" {
		return // nobody works: between two receivers, or for longer
	}
	if w.worked != "" && now != w.worked {
		w.seen++
	}
	w.worked = now
}

func roleName(role hotsparev1.Role) string {
	return bare(hotsparev1.Role_name, int32(role), "ROLE_")
}

func statusName(status hotsparev1.MemberStatus) string {
	return bare(hotsparev1.MemberStatus_name, int32(status), "MEMBER_STATUS_")
}

// bare is the name without its prefix. A number that a later release added counts as unspecified.
func bare(names map[int32]string, value int32, prefix string) string {
	name, known := names[value]
	if !known {
		name = names[0]
	}
	return strings.TrimPrefix(name, prefix)
}
