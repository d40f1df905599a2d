package capture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// JailCommand is the hidden command by which our own program becomes the jail.
const JailCommand = "capture-jail"

// The jail's open files beside the standard ones.
const (
	jailSocket = 3 // to the parent: the listening socket goes over it
	jailSelf   = 4 // our own program
)

// jailStage is the variable that tells the jail's second stage from its first.
const jailStage = "IMPOUND_JAIL_STAGE"

// Ids in the jail: outside they are nobody's, or our own where we are not root.
const (
	jailID   = 1000
	nobodyID = 65534
)

// errNoNamespaces says that this machine gives no strong jail.
var errNoNamespaces = errors.New("this machine grants no user namespaces, so the browser can't be jailed")

// runJail has the job done in the jail, the strong one if there is any way.
func (t *take) runJail(ctx context.Context, j job, p *filterProxy) (reply, error) {
	if t.cfg.Browser.onlyWeak {
		j.Weak = true
	}
	r, err := t.startJail(ctx, j, p)
	if !errors.Is(err, errNoNamespaces) {
		return r, err
	}
	if !t.cfg.Browser.Weak {
		return r, fmt.Errorf("%w (allow unprivileged user namespaces, or accept the weak jail in the configuration)", err)
	}
	j.Weak = true
	return t.startJail(ctx, j, p)
}

func (t *take) startJail(ctx context.Context, j job, p *filterProxy) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, j.Time+5*time.Second)
	defer cancel()
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return reply{}, fmt.Errorf("couldn't open our own program: %w", err)
	}
	defer self.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return reply{}, fmt.Errorf("couldn't make a socket to the jail: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "jail"), os.NewFile(uintptr(pair[1]), "parent")
	defer ours.Close()
	defer theirs.Close()
	args := t.cfg.Browser.Self
	if args == nil {
		args = []string{JailCommand}
	}
	in, err := json.Marshal(j)
	if err != nil {
		return reply{}, err
	}
	out, complaints := &head{max: maxReply + 1}, &head{max: 4 << 10}
	cmd := exec.CommandContext(ctx, fmt.Sprintf("/proc/self/fd/%d", jailSelf))
	cmd.Args = append([]string{"impound"}, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "TMPDIR=/tmp", "LANG=C.UTF-8", "TZ=UTC", jailStage + "=1"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(in), out, complaints
	cmd.ExtraFiles = []*os.File{theirs, self}
	cmd.WaitDelay = 2 * time.Second
	root := os.Getuid() == 0
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if j.Weak {
		attr.Setpgid = true
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		dir, err := os.MkdirTemp("", "capture-*")
		if err != nil {
			return reply{}, fmt.Errorf("couldn't make a folder for the browser: %w", err)
		}
		defer os.RemoveAll(dir)
		cmd.Env = append(cmd.Env, "HOME="+dir, "TMPDIR="+dir)
		if root {
			attr.Credential = &syscall.Credential{Uid: nobodyID, Gid: nobodyID}
			if err := os.Chown(dir, nobodyID, nobodyID); err != nil {
				return reply{}, fmt.Errorf("couldn't hand over the browser's folder: %w", err)
			}
		}
	} else {
		attr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		uid, gid := os.Getuid(), os.Getgid()
		attr.Credential = &syscall.Credential{Uid: jailID, Gid: jailID, NoSetGroups: true}
		if root {
			uid, gid = nobodyID, nobodyID
			attr.GidMappingsEnableSetgroups, attr.Credential.NoSetGroups = true, false
		}
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: jailID, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: jailID, HostID: gid, Size: 1}}
		// For the first stage: to bring the loopback up, and to mount.
		attr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_SYS_ADMIN}
	}
	cmd.SysProcAttr = attr
	// Pdeathsig is sent when the starting thread ends, so it must not.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		if !j.Weak && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EUSERS)) {
			return reply{}, errNoNamespaces
		}
		return reply{}, fmt.Errorf("couldn't start the jail: %w", err)
	}
	theirs.Close()
	serving, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if l, err := takeListener(ours); err == nil {
			p.serve(serving, l)
		}
	}()
	err = cmd.Wait()
	stop()
	ours.Close()
	<-done
	if j.Weak {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // whoever is left of the group
	}
	r, rerr := readReply(strings.NewReader(out.String()))
	r.Jail = "namespaces"
	if j.Weak {
		r.Jail = "weak"
	}
	switch {
	case ctx.Err() != nil:
		return r, errors.New("the browser was ended: it took too long")
	case rerr == nil && strings.HasPrefix(r.Err, errNoNamespaces.Error()):
		return reply{}, fmt.Errorf("%w: %s", errNoNamespaces, inert(strings.TrimPrefix(r.Err, errNoNamespaces.Error()+": "), 200))
	case rerr != nil:
		return r, fmt.Errorf("the jail ended without an answer (%v): %s", err, inert(complaints.String(), 400))
	}
	return r, nil
}

// takeListener takes the jail's listening socket from over f. Whatever else
// comes is closed.
func takeListener(f *os.File) (net.Listener, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.New("not a unix socket")
	}
	_ = uc.SetDeadline(time.Now().Add(20 * time.Second))
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := uc.ReadMsgUnix(b, oob)
	if err != nil {
		return nil, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return nil, errors.New("no socket came")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("no socket came")
	}
	unix.CloseOnExec(fds[0])
	lf := os.NewFile(uintptr(fds[0]), "listener")
	defer lf.Close()
	return net.FileListener(lf)
}

// JailMain is what the hidden command does: it shuts itself in and runs the
// browser. It gives the exit code.
func JailMain() int {
	say := func(r reply) int {
		b, err := json.Marshal(r)
		if err != nil {
			return 1
		}
		if _, err := os.Stdout.Write(b); err != nil {
			return 1
		}
		return 0
	}
	switch os.Getenv(jailStage) {
	case "1":
		return say(reply{Err: shutIn().Error()}) // comes back only when it failed
	case "2":
	default:
		fmt.Fprintln(os.Stderr, "impound: this command is for impound evidence capture alone")
		return 2
	}
	var j job
	if err := json.NewDecoder(io.LimitReader(os.Stdin, 64<<10)).Decode(&j); err != nil {
		return say(reply{Err: "the jail was given no job: " + err.Error()})
	}
	unix.Close(jailSelf)
	unix.CloseOnExec(jailSocket)
	go endWithParent()
	addr, err := giveListener()
	if err != nil {
		return say(reply{Err: "the jail has no way out: " + err.Error()})
	}
	return say(drive(j, addr))
}

// endWithParent ends the jail when the parent is gone, whatever ended it: its
// end of the socket is closed then. The kernel takes the browser along, with the
// PID namespace or as it was told at its start.
func endWithParent() {
	var b [1]byte
	for {
		if n, err := unix.Read(jailSocket, b[:]); n == 0 && err == nil || err != nil && !errors.Is(err, unix.EINTR) {
			os.Exit(1)
		}
	}
}

// giveListener opens the proxy's listening socket in here and hands it to the
// parent, which answers it from out there.
func giveListener() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return "", err
	}
	defer f.Close()
	return l.Addr().String(), unix.Sendmsg(jailSocket, []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0)
}

// shutIn takes away what the browser needs not, then starts the second stage.
// It gives back only an error.
func shutIn() error {
	runtime.LockOSThread()
	strong := os.Getpid() == 1
	if strong {
		if err := newRoot(); err != nil {
			return fmt.Errorf("%w: %w", errNoNamespaces, err)
		}
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("%w: couldn't bring the loopback up: %w", errNoNamespaces, err)
		}
	}
	for what, n := range map[int]uint64{unix.RLIMIT_CORE: 0, unix.RLIMIT_NOFILE: 4096, unix.RLIMIT_FSIZE: 256 << 20, unix.RLIMIT_CPU: 180, unix.RLIMIT_NPROC: 1024} {
		var have unix.Rlimit
		if err := unix.Getrlimit(what, &have); err != nil {
			return fmt.Errorf("couldn't read a limit: %w", err)
		}
		n = min(n, have.Max)
		if err := unix.Setrlimit(what, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return fmt.Errorf("couldn't set a limit: %w", err)
		}
	}
	// When memory gets scarce it is the page that must go.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	if strong {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
			return fmt.Errorf("couldn't drop privileges: %w", err)
		}
		hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var no [2]unix.CapUserData
		if err := unix.Capset(&hdr, &no[0]); err != nil {
			return fmt.Errorf("couldn't drop privileges: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("couldn't forbid new privileges: %w", err)
	}
	env := []string{jailStage + "=2"}
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, jailStage+"=") {
			env = append(env, e)
		}
	}
	// The privileges are this thread's, and execve makes it the only one.
	return fmt.Errorf("couldn't start the jail's second stage: %w", syscall.Exec(fmt.Sprintf("/proc/self/fd/%d", jailSelf), os.Args, env))
}

// newRoot makes a file system of the system's programs, read-only, and nothing
// of ours.
func newRoot() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("couldn't take the mounts private: %w", err)
	}
	const root = "/tmp"
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=512m,mode=755"); err != nil {
		return fmt.Errorf("couldn't mount a file system in memory: %w", err)
	}
	for _, d := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt/google", "/etc/fonts", "/etc/alternatives", "/etc/ld.so.cache", "/var/cache/fontconfig", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"} {
		if err := show(root, d); err != nil {
			return fmt.Errorf("couldn't show %s in the jail: %w", d, err)
		}
	}
	for _, d := range []string{"/tmp", "/proc", "/dev/shm", "/etc"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(root+"/etc/passwd", fmt.Appendf(nil, "nobody:x:%d:%d::/tmp:/bin/false\n", jailID, jailID), 0o644); err != nil {
		return err
	}
	if err := unix.Mount("proc", root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("couldn't mount /proc: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("couldn't change the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("couldn't let go of the old root: %w", err)
	}
	return os.Chdir("/")
}

// show binds path into the new root, read-only; what isn't there is left out,
// and a link stays a link.
func show(root, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	to := root + path
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	dev := false
	switch {
	case st.Mode()&os.ModeSymlink != 0:
		at, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(at, to)
	case st.IsDir():
		err = os.Mkdir(to, 0o755)
	default:
		dev = st.Mode()&os.ModeDevice != 0
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(path, to, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	flags := uint64(unix.MOUNT_ATTR_NOSUID)
	if !dev { // a device is written to, not changed
		flags |= unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV
	}
	return unix.MountSetattr(unix.AT_FDCWD, to, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: flags})
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}
