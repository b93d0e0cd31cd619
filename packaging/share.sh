#!/bin/sh
# share.sh BIN SHARE [ZSH]: manual pages and completions of the programs of src/bin, which
# print them themselves, laid out as in /usr/share: for packages. BIN has the programs, SHARE is the
# folder, ZSH the folder of zsh's completions within [default: zsh/site-functions]. RUN: the command
# that runs them, if they are those of another architecture.
set -eu
bin=$1 share=$2 zsh=${3:-zsh/site-functions}
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$share/man/man8" "$share/bash-completion/completions" "$share/$zsh" "$share/fish/vendor_completions.d"
for source in "$here"/src/bin/*.rs; do
	program=$(basename "$source" .rs)
	for page in $(${RUN:-} "$bin/$program" --generate pages); do
		${RUN:-} "$bin/$program" --generate man "$page" >"$share/man/man8/$page.8"
	done
	${RUN:-} "$bin/$program" --generate complete-bash >"$share/bash-completion/completions/$program"
	${RUN:-} "$bin/$program" --generate complete-zsh >"$share/$zsh/_$program"
	${RUN:-} "$bin/$program" --generate complete-fish >"$share/fish/vendor_completions.d/$program.fish"
done
