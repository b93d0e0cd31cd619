# shellcheck shell=bash
# Where Debian's packages come from: to be read by other scripts.

# Used where the machine's own package sources name no Debian mirror.
default_mirror=${SNOOP_DEBIAN_MIRROR:-}
default_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# The mirror this machine uses itself, and the keyring that goes with it: "URI KEYRING",
# "-" for the keys that APT trusts anyway. Both formats of sources are understood.
debian_mirror() {
    local found
    found=$(
        # As in APT: first sources.list, then the others by name.
        for file in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
            [[ -r $file ]] || continue
            case $file in
                *.list) one_line_sources "$file" ;;
                *.sources) deb822_sources "$file" ;;
            esac
        done | grep -m 1 -E '^[^ ]*/debian(\.list)?/? ' || true
    )
    printf '%s\n' "${found:-$default_mirror $default_keyring}"
}

# "deb [arch=amd64 signed-by=FILE] URI SUITE COMPONENT..."
one_line_sources() {
    sed -nE 's/^deb +(\[([^]]*)\] +)?([^ ]+) .*/\3 \2/p' "$1" | while read -r uri options; do
        case " $options " in
            *' signed-by='/*)
                options=${options##*signed-by=}
                printf '%s %s\n' "$uri" "${options%%[ ,]*}"
                ;;
            *) printf '%s -\n' "$uri" ;;
        esac
    done
}

# Stanzas of "Types: deb", "URIs: URI...", "Signed-By: FILE".
deb822_sources() {
    awk '
        /^#/ { next }
        { key = tolower($1) }
        key == "types:" { types = $0 }
        key == "uris:" { uri = $2 }
        key == "enabled:" { off = tolower($2) == "no" }
        key == "signed-by:" && $2 ~ /^\// { keyring = $2 }
        /^$/ { report() }
        END { report() }
        function report() {
            if (types ~ / deb( |$)/ && uri && !off) print uri, keyring ? keyring : "-"
            types = uri = keyring = off = ""
        }' "$1"
}
