//! The scripts of the shells. They are short, since the program itself knows what may come next:
//! see [`super::complete`].

/// For bash, with or without the package bash-completion.
pub(super) const BASH: &str = r#"# Completion of NAME for bash.
_NAME() {
    local tool=$1 line ending cur=${COMP_WORDS[COMP_CWORD]}
    local -i skipped
    local -a words=("${COMP_WORDS[@]:1:COMP_CWORD}")
    command -v -- "$tool" >/dev/null || tool=NAME
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
            :files*)
                ending=${line#:files}
                ending=${ending# }
                compopt -o filenames 2>/dev/null
                while IFS= read -r line; do
                    [[ $line != *"$ending" && ! -d $line ]] || COMPREPLY+=("$line")
                done < <(compgen -f -- "$cur")
                # A program contains objects, too.
                ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                ;;
            :command*)
                skipped=${line#:command }
                if declare -F _command_offset >/dev/null; then
                    _command_offset $((skipped + 1))
                elif ((COMP_CWORD == skipped + 1)); then
                    mapfile -t COMPREPLY < <(compgen -c -- "$cur")
                else
                    compopt -o filenames 2>/dev/null
                    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
                fi
                ;;
            *)
                # In a list, a process has its name.
                [[ $line =~ ^[0-9]+$'\t'. ]] && line="${line/$'\t'/ (})" || line=${line%%$'\t'*}
                COMPREPLY+=("$line")
                ;;
        esac
    done < <("$tool" --generate complete "${words[@]}" 2>/dev/null)
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} =~ ^[0-9]+\ \( ]]; then
        COMPREPLY=("${COMPREPLY[0]%% (*}")
    elif ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -F _NAME NAME
"#;

/// For zsh.
pub(super) const ZSH: &str = r#"#compdef NAME
_NAME() {
    local tool=${(Q)words[1]} line value
    local -a given=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}") values shown open more
    local -i found=1
    (( $+commands[$tool] )) || [[ -x $tool ]] || tool=NAME
    for line in "${(@f)$($tool --generate complete "${(@)given}" 2>/dev/null)}"; do
        case $line in
            (:files\ *) _files -g "*${line#:files }" && return ;;
            (:files) _files && return ;;
            (:command\ *)
                integer skipped=${line#:command }
                shift $(( skipped + 1 )) words
                (( CURRENT -= skipped + 1 ))
                _normal && return
                ;;
            (?*)
                value=${line%%$'\t'*}
                if [[ $value == *= ]]; then
                    open+=("$value")
                    more+=("$value -- ${line#*$'\t'}")
                else
                    values+=("$value")
                    shown+=("$value -- ${line#*$'\t'}")
                fi
                ;;
        esac
    done
    (( $#values )) && compadd -Q -l -d shown -a values && found=0
    (( $#open )) && compadd -Q -S '' -l -d more -a open && found=0
    return found
}
if [ "$funcstack[1]" = _NAME ]; then
    _NAME "$@"
else
    compdef _NAME NAME
fi
"#;

/// For fish.
pub(super) const FISH: &str = r#"# Completion of NAME for fish.
function __NAME_complete
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l tool $words[1]
    type -q -- $tool; or set tool NAME
    for line in ($tool --generate complete $words[2..] "$word" 2>/dev/null)
        switch $line
            case ':files *'
                __fish_complete_suffix (string replace ':files ' '' -- $line)
            case :files
                __fish_complete_path $word
            case ':command *'
                set -l skipped (string replace ':command ' '' -- $line)
                __fish_complete_subcommand --fcs-skip=(math $skipped + 1)
            case '*'
                echo $line
        end
    end
end
complete -c NAME -f -a '(__NAME_complete)'
"#;

/// A script for this program.
pub(super) fn script(template: &str, program: &str) -> Vec<u8> {
    template.replace("NAME", program).into_bytes()
}
