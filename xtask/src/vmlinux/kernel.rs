//! A kernel's types, by the names that they have in C.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use libbpf_rs::Btf;
use libbpf_rs::btf::types::{Array, Composite, Enum, Enum64, FuncProto};
use libbpf_rs::btf::{BtfKind, BtfType, TypeId};

/// An enum's values, of either width.
pub(super) struct Values<'a> {
    pub(super) bytes: usize,
    pub(super) values: Vec<(&'a str, i128)>,
}

/// The types.
pub(super) struct Kernel {
    btf: Btf<'static>,
    /// What each name means: the first type that has it. Structs, unions and enums are in one
    /// namespace, typedefs in another one.
    tags: HashMap<String, u32>,
    typedefs: HashMap<String, u32>,
}

impl Kernel {
    /// Those in an image, or in a file with BTF.
    pub(super) fn read(image: &Path) -> Result<Self> {
        let bytes = super::image::btf(image)?;
        // libbpf reads files; it knows either byte order.
        let path = std::env::temp_dir().join(format!("xtask-btf-{}", std::process::id()));
        std::fs::File::create_new(&path)
            .and_then(|mut file| file.write_all(&bytes))
            .with_context(|| path.display().to_string())?;
        let btf = Btf::from_path(&path);
        std::fs::remove_file(&path)?;
        Ok(Self::new(btf?))
    }

    pub(super) fn new(btf: Btf<'static>) -> Self {
        let mut kernel = Self { btf, tags: HashMap::new(), typedefs: HashMap::new() };
        let (mut tags, mut typedefs) = (HashMap::new(), HashMap::new());
        for id in kernel.ids() {
            let Some(name) = kernel.name(id) else { continue };
            let map = match kernel.at(id).kind() {
                BtfKind::Typedef => &mut typedefs,
                BtfKind::Struct | BtfKind::Union | BtfKind::Enum | BtfKind::Enum64 => &mut tags,
                _ => continue,
            };
            map.entry(name.to_owned()).or_insert(id);
        }
        (kernel.tags, kernel.typedefs) = (tags, typedefs);
        kernel
    }

    /// All types but void.
    pub(super) fn ids(&self) -> std::ops::Range<u32> {
        1..u32::try_from(self.btf.len()).unwrap_or(0)
    }

    /// A type; void if there is none.
    pub(super) fn at(&self, id: u32) -> BtfType<'_> {
        let found = self.btf.type_by_id(TypeId::from(id));
        found.or_else(|| self.btf.type_by_id(TypeId::from(0))).expect("void is there")
    }

    pub(super) fn name(&self, id: u32) -> Option<&str> {
        self.at(id).name()?.to_str()
    }

    /// The type that this name means in C: of several with one name, the first.
    pub(super) fn canonical(&self, id: u32) -> u32 {
        let ty = self.at(id);
        let map = if ty.kind() == BtfKind::Typedef { &self.typedefs } else { &self.tags };
        let first = self.name(id).and_then(|name| map.get(name)).copied().unwrap_or(id);
        if self.at(first).kind() == ty.kind() { first } else { id }
    }

    /// Whether another kind of type has its name.
    pub(super) fn is_eclipsed(&self, id: u32) -> bool {
        let named = self.name(id).and_then(|name| self.tags.get(name));
        named.is_some_and(|&first| self.keyword(first) != self.keyword(id))
    }

    /// `struct` and the like, of tags.
    pub(super) fn keyword(&self, id: u32) -> &'static str {
        let ty = self.at(id);
        match ty.kind() {
            BtfKind::Union => "union",
            BtfKind::Enum | BtfKind::Enum64 => "enum",
            BtfKind::Fwd if is_union(&ty) => "union",
            _ => "struct",
        }
    }

    /// What a pointer, a typedef or a qualifier is of.
    pub(super) fn target(&self, id: u32) -> u32 {
        self.at(id).next_type().map_or(0, |ty| ty.type_id().into())
    }

    pub(super) fn composite(&self, id: u32) -> Option<Composite<'_>> {
        Composite::try_from(self.at(id)).ok()
    }

    /// Type of the elements, and their number.
    pub(super) fn array(&self, id: u32) -> Option<(u32, usize)> {
        let array = Array::try_from(self.at(id)).ok()?;
        Some((array.ty().into(), array.capacity()))
    }

    /// The result's type, and those of the arguments; `None` among these: any others.
    pub(super) fn function(&self, id: u32) -> Option<(u32, Vec<u32>)> {
        let function = FuncProto::try_from(self.at(id)).ok()?;
        let arguments = (0..function.len()).filter_map(|at| Some(function.get(at)?.ty.into()));
        Some((self.target(id), arguments.collect()))
    }

    pub(super) fn values(&self, id: u32) -> Option<Values<'_>> {
        if let Ok(found) = Enum::try_from(self.at(id)) {
            let bytes = libbpf_rs::HasSize::size(&found);
            let mut values = Vec::new();
            for at in 0..found.len() {
                let value = found.get(at)?;
                values.push((value.name?.to_str()?, value.value.into()));
            }
            return Some(Values { bytes, values });
        }
        let found = Enum64::try_from(self.at(id)).ok()?;
        let bytes = libbpf_rs::HasSize::size(&found);
        let mut values = Vec::new();
        for at in 0..found.len() {
            let value = found.get(at)?;
            values.push((value.name?.to_str()?, value.value));
        }
        Some(Values { bytes, values })
    }
}

fn is_union(ty: &BtfType<'_>) -> bool {
    use libbpf_rs::btf::types::{Fwd, FwdKind};
    Fwd::try_from(*ty).is_ok_and(|fwd| fwd.kind() == FwdKind::Union)
}
