# For Nix: nix-build, beside the two tarballs that packaging/source.sh makes. Not built where the project
# is made; parsed and evaluated with a stand-in for nixpkgs.
{ pkgs ? import <nixpkgs> { } }:

pkgs.stdenv.mkDerivation rec {
  pname = "snoop-tools";
  version = "@VERSION@";
  src = ./. + "/snoop-tools_${version}.orig.tar.gz";
  vendor = ./. + "/snoop-tools_${version}.orig-vendor.tar.xz";
  sourceRoot = "snoop-tools-${version}";

  nativeBuildInputs = with pkgs; [ cargo rustc pkg-config llvmPackages.clang-unwrapped ];
  buildInputs = with pkgs; [ libbpf elfutils zlib zstd ];
  # Of the compiler's wrapper BPF programs get flags that clang refuses for them.
  CLANG = "${pkgs.llvmPackages.clang-unwrapped}/bin/clang";
  CARGO_NET_OFFLINE = "true";
  ZSTD_SYS_USE_PKG_CONFIG = "1";

  postUnpack = ''
    tar -xf $vendor -C $sourceRoot
    mkdir -p $sourceRoot/.cargo
    printf '[source.crates-io]\nreplace-with = "vendor"\n[source.vendor]\ndirectory = "vendor"\n' >>$sourceRoot/.cargo/config.toml
  '';
  buildPhase = "cargo build --locked --release --no-default-features --features stacks,dns --bins";
  checkPhase = "cargo test --locked --release --no-default-features --features stacks,dns --lib --test cli";
  doCheck = true;
  installPhase = ''
    for source in src/bin/*.rs; do
      install -D -m 755 -t $out/bin target/release/$(basename $source .rs)
    done
    packaging/share.sh $out/bin $out/share
  '';

  meta = with pkgs.lib; {
    # Nothing is published yet.
    homepage = "https://snoop-tools.invalid/no-home-yet";
    description = "BPF tracers: executions, TCP, memory maps, processes, signals, any object";
    license = with licenses; [ gpl2Only bsd2 ];
    platforms = platforms.linux;
  };
}
