//! What all events have: columns, members of JSON, and how a field of either kind is made.

use super::{Field, Put, Slot};
use crate::host::cgroup::container_id;
use crate::host::container::Container;
use crate::host::context::Context;
use crate::host::unit::{self, Units};
use crate::output::table::Column;
use crate::output::time::Epoch;
use crate::skel::task_id;

/// The members of all events.
#[derive(Clone, Copy, Debug)]
pub struct Common<'a> {
    /// The process and the time
    pub id: &'a task_id,
    /// `event.name`
    pub event: &'static str,
    /// Local time in a table, RFC 3339 in JSON
    pub time: &'a str,
    /// Time since tracing began
    pub since_ns: u64,
    /// Path of the cgroup, if known
    pub cgroup: Option<&'a [u8]>,
    /// What is known of its container
    pub container: Option<&'a Container>,
    /// For times of birth
    pub epoch: Epoch,
    /// What `--login` and `--ancestors` tell
    pub context: Option<&'a Context>,
}

impl<'a> Common<'a> {
    /// Of this process; nothing else is known.
    pub fn of(id: &'a task_id) -> Self {
        let epoch = Epoch::default();
        Self {
            id,
            event: "",
            time: "",
            since_ns: 0,
            cgroup: None,
            container: None,
            epoch,
            context: None,
        }
    }

    fn units(&self) -> Units<'_> {
        self.cgroup.map(Units::of).unwrap_or_default()
    }

    /// What people call the container.
    fn container_name(&self) -> Option<String> {
        container_name(self.cgroup, self.container)
    }
}

/// What people call the container of a cgroup: its name, in Kubernetes with its pod, or else the
/// beginning of its id. Others choose it.
pub fn container_name(cgroup: Option<&[u8]>, container: Option<&Container>) -> Option<String> {
    const SHORT_ID: usize = 12;
    let found = container.and_then(|it| match (&it.pod_name, &it.name_in_pod) {
        (Some(pod), name) => {
            let parts = [it.namespace.as_ref(), Some(pod), name.as_ref()];
            Some(parts.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("/"))
        }
        _ => it.name.clone(),
    });
    let id = || cgroup.and_then(container_id)?.get(..SHORT_ID).map(str::to_owned);
    found.or_else(id)
}

pub(super) const NO_COLUMN: Column = Column::left("", 0);

impl<F> Field<F> {
    /// The local time.
    pub const TIME: Self = Self::common(
        Column::left("TIME", 12),
        "",
        "local time, to the millisecond",
        |common, slot| {
            slot.text(common.time);
        },
    );
    /// The time since tracing began.
    pub const SINCE: Self = Self::common(
        Column::left("TIME(s)", 8),
        "",
        "seconds since tracing began",
        |common, slot| slot.optional_seconds(Some(common.since_ns)),
    );
    /// The real user.
    pub const UID: Self = Self::common(
        Column::left("UID", 6),
        "process.real_user.id",
        "real user id of the process",
        |common, slot| slot.number(common.id.uid),
    );
    /// The process.
    pub const PID: Self =
        Self::common(Column::left("PID", 7), "process.pid", "process id", |common, slot| {
            slot.number(common.id.pid);
        });
    /// The parent.
    pub const PPID: Self = Self::common(
        Column::left("PPID", 7),
        "process.parent_pid",
        "process id of the parent",
        |common, slot| slot.number(common.id.ppid),
    );
    /// The thread.
    pub const TID: Self =
        Self::common(Column::left("TID", 7), "thread.id", "thread id", |common, slot| {
            slot.number(common.id.tid);
        });
    /// The name of the process, and in the table also that of the thread.
    pub const COMM: Self = Self::common(
        Column::left("COMM", 16),
        "process.comm",
        "name of the process, which is its first thread's; in the table with the name of the \
         thread in brackets, if that is another one and there is room",
        |common, slot| {
            slot.cell(|line| line.comms(common.id.comm(), common.id.thread_comm()));
            slot.name(common.id.comm());
        },
    );
    /// The cgroup.
    pub const CGROUP: Self = Self::common(
        Column::left("CGROUP", 0),
        "process.linux.cgroup",
        "path of the process in the cgroup v2 hierarchy",
        |common, slot| slot.optional_name(common.cgroup),
    );

    /// The container, by its name.
    pub const CONTAINER: Self = Self::common(
        Column::left("CONTAINER", 20),
        "",
        "the container: its name, in Kubernetes NAMESPACE/POD/CONTAINER, or else the beginning of its id",
        |common, slot| slot.optional_name(common.container_name().as_ref().map(String::as_bytes)),
    );

    /// systemd's unit.
    pub const UNIT: Self = Self::common(
        Column::left("UNIT", 24),
        "systemd.unit",
        "systemd's unit, from the path of the cgroup; in the table that of the user's own \
         manager, if there is one",
        |common, slot| {
            let units = common.units();
            slot.cell_of(|line| units.user_unit.or(units.unit).map(|unit| line.name(unit)));
            slot.optional_json_name(units.unit);
        },
    );

    /// Members of each line of JSON, in this order.
    pub(super) const ALWAYS: [Self; 30] = [
        Self::common(NO_COLUMN, "timestamp", "time of the event, RFC 3339", |common, slot| {
            slot.text(common.time);
        }),
        Self::common(NO_COLUMN, "event.name", "kind of the event", |common, slot| {
            slot.text(common.event);
        }),
        Self::PID,
        Self::json_common(
            "process.creation.time",
            "birth of the process, RFC 3339: with process.pid its identity, the same in all rows of \
             all tools as long as nobody sets the wall clock",
            |common, slot| slot.birth(common.id.start_ns),
        ),
        Self::json_common(
            "process.start_boot_ns",
            "the same, nanoseconds on the clock CLOCK_BOOTTIME, which nobody can set",
            |common, slot| slot.birth_ns(common.id.start_ns),
        ),
        Self::PPID,
        Self::json_common(
            "process.parent.creation.time",
            "birth of the parent, likewise",
            |common, slot| slot.birth(common.id.parent_start_ns),
        ),
        Self::json_common(
            "process.parent_start_boot_ns",
            "birth of the parent on the clock CLOCK_BOOTTIME",
            |common, slot| slot.birth_ns(common.id.parent_start_ns),
        ),
        Self::common(
            NO_COLUMN,
            "process.vpid",
            "process id in the process's own PID namespace, if it is another one",
            |common, slot| {
                let vpid = common.id.vpid;
                slot.optional_number((vpid != common.id.pid).then_some(vpid));
            },
        ),
        Self::COMM,
        Self::common(
            NO_COLUMN,
            "process.user.id",
            "effective user id of the process",
            |common, slot| slot.number(common.id.euid),
        ),
        Self::UID,
        Self::CGROUP,
        Self::common(
            NO_COLUMN,
            "container.id",
            "id of the container, if the cgroup is one's",
            |common, slot| slot.optional_text(common.cgroup.and_then(container_id)),
        ),
        Self::UNIT,
        Self::common(NO_COLUMN, "systemd.slice", "the slice of that unit", |common, slot| {
            slot.optional_name(common.units().slice);
        }),
        Self::common(
            NO_COLUMN,
            "systemd.user_unit",
            "the unit of the user's own manager, below user@UID.service",
            |common, slot| slot.optional_name(common.units().user_unit),
        ),
        Self::common(NO_COLUMN, "systemd.user_slice", "the slice of that unit", |common, slot| {
            slot.optional_name(common.units().user_slice);
        }),
        Self::common(
            NO_COLUMN,
            "container.runtime.name",
            "what made the container: docker, containerd, cri-o or podman, as far as the name of \
             its cgroup or its files tell",
            |common, slot| {
                let found = common.container.and_then(|found| found.runtime.as_deref());
                slot.optional_untrusted(found.or_else(|| common.cgroup.and_then(unit::runtime)));
            },
        ),
        Self::of_container(
            "container.name",
            "its name; this and the rest with --containers",
            |it| it.name.as_ref(),
        ),
        Self::of_container("container.image.name", "its image, without tag and digest", |it| {
            it.image_name.as_ref()
        }),
        Self::common(
            NO_COLUMN,
            "container.image.tags",
            "list of the image's tag",
            |common, slot| {
                if let Some(tag) = common.container.and_then(|it| it.image_tag.as_ref()) {
                    slot.names([tag.as_bytes()].into_iter());
                }
            },
        ),
        Self::of_container("container.image.id", "the image's own id", |it| it.image_id.as_ref()),
        Self::common(
            NO_COLUMN,
            "container.label",
            "the container's labels, those of --container-labels",
            |common, slot| slot.pairs(common.container.map_or(&[], |it| &it.labels)),
        ),
        Self::of_container("k8s.pod.name", "its pod in Kubernetes", |it| it.pod_name.as_ref()),
        Self::common(
            NO_COLUMN,
            "k8s.pod.uid",
            "uid of the pod, from the path of the cgroup",
            |common, slot| {
                let uid = common.cgroup.and_then(unit::pod_uid);
                let found = common.container.and_then(|found| found.pod_uid.as_deref());
                slot.optional_untrusted(uid.as_deref().or(found));
            },
        ),
        Self::common(
            NO_COLUMN,
            "k8s.pod.label",
            "the pod's labels, those of --container-labels; only with CRI-O",
            |common, slot| slot.pairs(common.container.map_or(&[], |it| &it.pod_labels)),
        ),
        Self::of_container("k8s.namespace.name", "namespace of the pod", |it| {
            it.namespace.as_ref()
        }),
        Self::of_container("k8s.container.name", "the container's name within the pod", |it| {
            it.name_in_pod.as_ref()
        }),
        Self::common(
            NO_COLUMN,
            "thread.name",
            "name of the thread; for the first one that of the process",
            |common, slot| slot.comm(&common.id.thread_comm),
        ),
    ];

    pub(super) const fn common(
        column: Column,
        key: &'static str,
        about: &'static str,
        put: fn(&Common<'_>, &mut Slot<'_, '_>),
    ) -> Self {
        Self { column, key, about, put: Put::Common(put) }
    }

    /// A member of JSON.
    pub(super) const fn json_common(
        key: &'static str,
        about: &'static str,
        put: fn(&Common<'_>, &mut Slot<'_, '_>),
    ) -> Self {
        Self::common(NO_COLUMN, key, about, put)
    }

    /// A member about the container.
    pub(super) const fn of_container(
        key: &'static str,
        about: &'static str,
        get: fn(&Container) -> Option<&String>,
    ) -> Self {
        Self { column: NO_COLUMN, key, about, put: Put::OfContainer(get) }
    }

    /// A column, and a member of each JSON line under `key`.
    pub(super) const fn new(
        column: Column,
        key: &'static str,
        about: &'static str,
        put: F,
    ) -> Self {
        Self { column, key, about, put: Put::Own(put) }
    }

    /// A column of names, and a member under `key`.
    pub const fn left(
        title: &'static str,
        width: usize,
        key: &'static str,
        about: &'static str,
        put: F,
    ) -> Self {
        Self::new(Column::left(title, width), key, about, put)
    }

    /// A column of numbers, and a member under `key`.
    pub const fn right(
        title: &'static str,
        width: usize,
        key: &'static str,
        about: &'static str,
        put: F,
    ) -> Self {
        Self::new(Column::right(title, width), key, about, put)
    }

    /// A member of each JSON line that has no column.
    pub const fn json(key: &'static str, about: &'static str, put: F) -> Self {
        Self::new(NO_COLUMN, key, about, put)
    }
}
