//! Lines of recordings: whatever they hold, a tool shows a row or says what is wrong with them.

use snoop_tools::engine::recorded::{Line, Lines, Start};
use snoop_tools::engine::replay::Recorded;
use snoop_tools::tools::{execsnoop, mmapsnoop, procsnoop, tcpconnect};

/// Each line is read as an event of each tool, whatever its own name is.
pub(crate) fn all(data: &[u8]) {
    let Ok(mut lines) = Lines::of(std::io::Cursor::new(data.to_vec())) else { return };
    while let Some(raw) = lines.next_line() {
        let Ok(line) = Line::parse(raw.bytes, 0) else { continue };
        let _ = Start::read(raw.bytes, &line);
        let _ = procsnoop::running::read(&line);
        let id = line.id().unwrap_or_default();
        let cgroup = line.cgroup().unwrap_or_default();
        let event = |name| Recorded { name, id: &id, cgroup: cgroup.as_deref(), line: &line };
        for name in ["process.exec", "process.exec_failed"] {
            let Ok(told) = execsnoop::recorded::read(&event(name)) else { continue };
            let exec = told.exec().unwrap();
            let _ = (exec.cut(1), exec.filename(), exec.is_disguised());
        }
        let _ = procsnoop::recorded::birth(&event("process.fork"));
        let _ = procsnoop::recorded::thread_exit(&event("thread.exit"));
        if let Ok((ended, _)) = procsnoop::recorded::exit(&event("process.exit")) {
            let _ = (ended.event.killer(), ended.usage.cpu_ns());
        }
        if let Ok(told) = tcpconnect::recorded::read(&event("network.connect")) {
            let _ = (told.connect.result(), told.connect.began_ns());
        }
        for name in
            ["memory.map", "memory.protect", "memory.remap", "memory.break", "memory.attach"]
        {
            let (kind, object) = mmapsnoop::recorded::kind(name).unwrap();
            if let Ok(told) = mmapsnoop::recorded::read(&event(name), kind, object) {
                let call = mmapsnoop::Call::decode(&told.record).unwrap();
                let _ = (call.hint(), call.differences().count());
            }
        }
    }
}
