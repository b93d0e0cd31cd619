//! The end of `debian/copyright`: a paragraph for each vendored crate, and the licences that these name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::licences::{all_packages, licence_files};

/// Licences whose text each Debian system has, by SPDX and as the file is called.
const COMMON: [(&str, &str); 5] = [
    ("Apache-2.0", "Apache-2.0"),
    ("GPL-2.0-or-later", "GPL-2"),
    ("LGPL-2.1-only", "LGPL-2.1"),
    ("LGPL-2.1-or-later", "LGPL-2.1"),
    ("LGPL-3.0-or-later", "LGPL-3"),
];

/// Copies of C libraries in a crate: its name, their folder, their copyright and licence.
const LIBRARIES: [(&str, &str, &str, &str); 2] = [
    (
        "libbpf-sys",
        "elfutils",
        "1998-2025 Red Hat, Inc., and the authors that AUTHORS there lists",
        "GPL-2.0-or-later OR LGPL-3.0-or-later",
    ),
    ("libbpf-sys", "zlib", "1995-2024 Jean-loup Gailly and Mark Adler", "Zlib"),
];

/// An alternative that adds nothing to the one beside it.
const MORE_OF_THE_SAME: &str = "Apache-2.0 WITH LLVM-exception OR Apache-2.0";

/// Prints the paragraphs for the crates in `vendor`, a folder that `cargo vendor --versioned-dirs` has
/// made, in the form of DEP 5.
///
/// # Errors
///
/// A crate has no licence, or one without a text anywhere.
pub(crate) fn print(vendor: &Path) -> Result<()> {
    let packages = all_packages()?;
    let mut texts = BTreeMap::new();
    let mut named = BTreeSet::new();
    for package in &packages {
        let field = |key: &str| package[key].as_str().unwrap_or_default();
        let folder = format!("{}-{}", field("name"), field("version"));
        let here = vendor.join(&folder);
        // Those of this project are not vendored.
        if !here.is_dir() {
            continue;
        }
        let licence = field("license").replace('/', " OR ").replace(MORE_OF_THE_SAME, "Apache-2.0");
        if licence.is_empty() {
            bail!("{folder} names no licence");
        }
        println!("\nFiles: vendor/{folder}/*\nCopyright: {}", holders(package, &here)?.join("\n "));
        println!("License: {}", expression(&licence));
        let each: Vec<_> = licence.split([' ', '(', ')']).filter(|word| is_licence(word)).collect();
        named.extend(each.iter().map(|&word| word.to_owned()));
        collect_texts(&each, &here, &mut texts)?;
        for (_, inside, holder, licence) in LIBRARIES.iter().filter(|one| one.0 == field("name")) {
            println!("\nFiles: vendor/{folder}/{inside}/*\nCopyright: {holder}");
            println!("License: {}", expression(licence));
            named.extend(licence.split(" OR ").map(str::to_owned));
        }
    }
    for name in &named {
        // The project's own is in the file already.
        if name == "BSD-2-Clause" || COMMON.iter().any(|(spdx, _)| spdx == name) {
            continue;
        }
        let Some(text) = texts.get(name) else { bail!("no crate has the text of {name}") };
        println!("\nLicense: {name}\n{}", paragraph(text));
    }
    for (name, file) in COMMON.iter().filter(|(name, _)| named.contains(*name)) {
        println!(
            "\nLicense: {name}\n On Debian systems the text is in /usr/share/common-licenses/{file}."
        );
    }
    Ok(())
}

/// Whether a word of an expression is a licence.
fn is_licence(word: &str) -> bool {
    !matches!(word, "" | "OR" | "AND")
}

/// An SPDX expression as DEP 5 has it: without parentheses, where a comma binds less.
fn expression(spdx: &str) -> String {
    let plain =
        spdx.replace(") AND ", ", and ").replace(" AND (", ", and ").replace(['(', ')'], "");
    plain.replace(" OR ", " or ").replace(" AND ", " and ")
}

/// Lines that claim the copyright, as the crate's own licences have them; else its authors.
fn holders(package: &Value, folder: &Path) -> Result<Vec<String>> {
    let mut found = BTreeSet::new();
    for file in licence_files(folder, &[])? {
        let text = fs::read_to_string(&file).unwrap_or_default();
        found.extend(text.lines().filter_map(claim).map(str::to_owned));
    }
    let mut holders: Vec<_> = found.into_iter().collect();
    if holders.is_empty() {
        let authors = package["authors"].as_array().into_iter().flatten();
        holders.extend(authors.filter_map(Value::as_str).map(str::to_owned));
    }
    if holders.is_empty() {
        holders.push(format!("the authors of {}", package["name"].as_str().unwrap_or_default()));
    }
    Ok(holders)
}

/// What a line says after `Copyright`, if it is a claim: it has a year or the sign.
fn claim(line: &str) -> Option<&str> {
    let rest = line.trim().trim_start_matches(['/', '*', '#', ' ']).strip_prefix("Copyright")?;
    let rest = rest.trim_start_matches([' ', ':']);
    let signed = ["(c)", "(C)", "©"].iter().find_map(|sign| rest.strip_prefix(sign));
    let holder = signed.unwrap_or(rest).trim();
    let has_year = holder.split(|c: char| !c.is_ascii_digit()).any(|word| word.len() == 4);
    // In the appendix of a licence it is a form.
    let is_form = holder.contains(['[', '<', '{']);
    ((has_year || signed.is_some()) && holder.len() > 4 && !is_form).then_some(holder)
}

/// The texts of licences that have no other text in the same file.
fn collect_texts(
    licences: &[&str],
    folder: &Path,
    texts: &mut BTreeMap<String, String>,
) -> Result<()> {
    for file in licence_files(folder, &[])? {
        let name = file.file_name().context("a name")?.to_string_lossy().to_uppercase();
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for &licence in licences {
            // A file of this licence: by its name, or since the crate has no other one.
            if licences.len() == 1 || name.contains(&word_in_names(licence)) {
                texts.entry(licence.to_owned()).or_insert_with(|| text.clone());
            }
        }
    }
    Ok(())
}

/// What the name of a file with this licence has in it, in capitals.
fn word_in_names(licence: &str) -> String {
    match licence {
        "BSL-1.0" => "BOOST".to_owned(),
        _ => licence.split('-').next().unwrap_or(licence).to_uppercase(),
    }
}

/// A text as the continuation of a field: each line indented, empty ones as a dot.
fn paragraph(text: &str) -> String {
    let line = |line: &str| match line.trim_end() {
        "" => " .".to_owned(),
        line => format!(" {line}"),
    };
    text.trim().lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_have_the_form_of_dep_5() {
        assert_eq!(expression("MIT OR Apache-2.0"), "MIT or Apache-2.0");
        let both = "(MIT OR Apache-2.0) AND Unicode-3.0";
        assert_eq!(expression(both), "MIT or Apache-2.0, and Unicode-3.0");
    }

    #[test]
    fn files_of_licences_are_known_by_their_names() {
        assert_eq!(word_in_names("Apache-2.0"), "APACHE");
        assert_eq!(word_in_names("MIT"), "MIT");
        assert_eq!(word_in_names("BSL-1.0"), "BOOST");
    }

    #[test]
    fn claims_have_a_year() {
        assert_eq!(claim("Copyright (c) 2014 Somebody"), Some("2014 Somebody"));
        assert_eq!(claim("   Copyright 2019-2020 A, B"), Some("2019-2020 A, B"));
        assert_eq!(claim("Copyright (c) The contributors"), Some("The contributors"));
        assert_eq!(claim("Copyright (c) [year] [fullname]"), None);
        assert_eq!(claim("Copyright [yyyy] [name of copyright owner]"), None);
        assert_eq!(claim("copyright notice and this permission"), None);
    }

    #[test]
    fn paragraphs_have_no_empty_lines() {
        assert_eq!(paragraph("a\n\n  b\n"), " a\n .\n   b");
    }
}
