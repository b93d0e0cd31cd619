//! The kinds of C types: the nodes of the graph.

use super::name::Name;

/// The number of a type in its [`Types`]; 0 is `void`, as in BTF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`
    pub const VOID: Self = Self(0);
}

/// The meaning of the bits of a whole number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Two's complement
    Signed,
    /// From zero up
    Unsigned,
    /// `_Bool`
    Bool,
    /// A character
    Char,
}

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// `None`: an anonymous struct or union
    pub name: Option<Name>,
    pub ty: TypeId,
    /// From the start of the struct; in a big-endian object counted from the most
    /// significant bit of each byte
    pub bit_offset: u32,
    /// `Some`: a bitfield of this many bits
    pub bit_size: Option<u32>,
}

/// A struct's or union's body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composite {
    /// `sizeof`
    pub bytes: u64,
    /// In the order of the source
    pub members: Vec<Member>,
}

/// A variable in a [`Kind::DataSection`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionVariable {
    /// A [`Kind::Var`]
    pub ty: TypeId,
    /// Bytes from the start of the section
    pub offset: u32,
    pub bytes: u32,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, if the compiler kept it
    pub name: Option<Name>,
    pub ty: TypeId,
}

/// The visibility of a function or variable, BTF's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linkage {
    /// Its own file
    Static,
    /// Everywhere
    Global,
    /// Defined elsewhere: the kernel's variables and functions
    Extern,
}

/// The kind of a type. The name, if any, is in [`Type`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing
    Void,
    /// A whole number
    Int {
        /// `sizeof`
        bytes: u32,
        /// How its bits are read
        encoding: Encoding,
        /// Bits that count: fewer than the bytes have in old BTF's bitfields
        bits: u32,
        /// Where these begin: not 0 only in old BTF's bitfields
        bit_offset: u32,
    },
    /// A floating-point number
    Float {
        /// `sizeof`
        bytes: u32,
    },
    /// A pointer, in BPF of 8 bytes
    Pointer(TypeId),
    /// `element[count]`; a count of 0 is a flexible array
    Array {
        /// Of what
        element: TypeId,
        /// How many
        count: u64,
    },
    /// `struct`
    Struct(Composite),
    /// `union`
    Union(Composite),
    /// `enum`
    Enum {
        /// `sizeof`
        bytes: u32,
        /// Whether a set highest bit makes a value negative
        signed: bool,
        /// Names and values; of unsigned ones the same bits
        values: Vec<(Name, i64)>,
    },
    /// Another name
    Typedef(TypeId),
    /// `const`
    Const(TypeId),
    /// `volatile`
    Volatile(TypeId),
    /// `restrict`
    Restrict(TypeId),
    /// `__attribute__((btf_type_tag(name)))`
    TypeTag(TypeId),
    /// A function that the object has or calls
    Function {
        /// A [`Kind::FunctionProto`]
        proto: TypeId,
        /// Who sees it
        linkage: Linkage,
    },
    /// A function's type
    FunctionProto {
        /// What it returns
        returns: TypeId,
        /// What it takes
        parameters: Vec<Parameter>,
        /// Ends in `...`
        variadic: bool,
    },
    /// A global variable
    Var {
        ty: TypeId,
        /// Who sees it
        linkage: Linkage,
    },
    /// The variables of one section, which is the type's name
    DataSection {
        bytes: u64,
        /// In the order of their offsets, as the file has them
        variables: Vec<SectionVariable>,
    },
    /// A struct or union that is only declared
    Forward {
        /// `union`, not `struct`
        union: bool,
    },
    /// `__attribute__((btf_decl_tag(name)))`
    DeclTag {
        /// What is tagged
        ty: TypeId,
        /// The member or parameter; `None`: the whole
        component: Option<u32>,
    },
}

/// A type with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Type {
    /// Without `struct`, `union` or `enum`
    pub name: Option<Name>,
    /// What it is
    pub kind: Kind,
}
