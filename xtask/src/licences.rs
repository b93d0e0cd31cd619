//! The licences of what is compiled in: those of the crates, as their packages have them, and
//! of the C libraries that come with one of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Prints name, licence and licence texts of each crate that a program contains. Each text is
/// printed once, with the names of those that have it.
pub(crate) fn print(features: &str, target: &str) -> Result<()> {
    let metadata = metadata(features, target)?;
    let libraries: &[&str] =
        if features.contains("static") { &["libbpf", "elfutils", "zlib"] } else { &["libbpf"] };
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    println!("What is compiled into the programs of snoop-tools, beside its own code.\n");
    for package in linked(&metadata)? {
        let field = |key: &str| package[key].as_str().unwrap_or_default();
        let title = format!("{} {}", field("name"), field("version"));
        println!("{title}: {}", field("license"));
        let manifest = Path::new(field("manifest_path"));
        for file in licence_files(manifest.parent().context("no folder")?, libraries)? {
            let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            texts.entry(text.trim().to_owned()).or_default().push(title.clone());
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(text, of)| (of, text)).collect();
    texts.sort();
    for (of, text) in texts {
        println!("\n{}\n{}\n\n{text}", "-".repeat(78), of.join(", "));
    }
    Ok(())
}

fn metadata(features: &str, target: &str) -> Result<Value> {
    metadata_with(&["--filter-platform", target, "--features", features])
}

/// All packages of `Cargo.lock`, for whatever platform.
pub(crate) fn all_packages() -> Result<Vec<Value>> {
    let mut metadata = metadata_with(&["--all-features"])?;
    let packages = metadata["packages"].as_array_mut().context("packages")?;
    Ok(std::mem::take(packages))
}

fn metadata_with(flags: &[&str]) -> Result<Value> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args(["metadata", "--locked", "--format-version", "1"])
        .args(flags)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "cargo metadata: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Packages on which the programs depend, not only at build time; sorted by name.
fn linked(metadata: &Value) -> Result<Vec<&Value>> {
    let list = |value: &'static str| metadata[value].as_array().context(value);
    let packages: BTreeMap<_, _> =
        list("packages")?.iter().filter_map(|p| Some((p["id"].as_str()?, p))).collect();
    let nodes = metadata["resolve"]["nodes"].as_array().context("nodes")?;
    let nodes: BTreeMap<_, _> = nodes.iter().filter_map(|n| Some((n["id"].as_str()?, n))).collect();
    let root = metadata["workspace_default_members"][0].as_str().context("default member")?;

    let mut seen = BTreeMap::new();
    let mut next = vec![root];
    while let Some(id) = next.pop() {
        let package = packages.get(id).context("a package of each node")?;
        let macros = package["targets"].as_array().into_iter().flatten();
        let is_macro = macros.clone().any(|target| target["kind"][0] == "proc-macro");
        if is_macro || seen.insert(id, *package).is_some() {
            continue;
        }
        let deps = nodes.get(id).and_then(|node| node["deps"].as_array());
        next.extend(deps.into_iter().flatten().filter_map(|dep| {
            let kinds = dep["dep_kinds"].as_array()?;
            kinds.iter().any(|kind| kind["kind"].is_null()).then(|| dep["pkg"].as_str())?
        }));
    }
    seen.remove(root);
    let mut linked: Vec<_> = seen.into_values().collect();
    linked.sort_by_key(|package| (package["name"].as_str(), package["version"].as_str()));
    Ok(linked)
}

/// Files in the crate's folder and in those of the C `libraries` below it, whose names begin
/// like those of licences.
pub(crate) fn licence_files(folder: &Path, libraries: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    for library in libraries {
        folders.push(folder.join(library));
    }
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
            let is_licence = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"]
                .iter()
                .any(|start| name.starts_with(start));
            if is_licence && path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
