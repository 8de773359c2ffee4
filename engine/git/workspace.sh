# A run's workspace, inside its sandbox: sh -s -- begin|make|collect|archive|restore|mend|remove WORKSPACE ...
#
# What the agent left is not trusted to be a sane repository. Collecting reads its files and, where
# they are whole, its commits, through a repository made anew: no config, hook, index or exclude of
# the agent's has a say. Facts for the engine go to stderr as "openlinear: KEY VALUE".
set -eu
umask 022
job=$1 ws=$2
state=${ws%/*}/.${ws##*/}
spares=${ws%/*}/.spares

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_CONFIG_PARAMETERS
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 GIT_ATTR_NOSYSTEM=1 GIT_NO_REPLACE_OBJECTS=1
export GIT_TERMINAL_PROMPT=0 GIT_OPTIONAL_LOCKS=0 LC_ALL=C

git() {
    command git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c core.untrackedCache=false \
        -c core.excludesFile=/dev/null -c core.attributesFile=/dev/null -c core.quotePath=true \
        -c gc.auto=0 -c maintenance.auto=false -c submodule.recurse=false -c advice.addEmbeddedRepo=false \
        -c checkout.workers=2 -c index.threads=2 -c safe.directory='*' "$@"
}

tell() { printf 'openlinear: %s\n' "$*" >&2; }

wipe() {
    for path in "$@"; do
        [ -e "$path" ] || [ -L "$path" ] || continue
        rm -rf -- "$path" 2>/dev/null || { chmod -R u+rwX -- "$path"; rm -rf -- "$path"; }
    done
}

# A repository without a commit: the agent's server can open it while the base is still being fetched.
begin() {
    branch=$1 name=$2 email=$3
    if [ -e "$ws/.git" ]; then tell "there yes"; exit 0; fi
    mkdir -p "$state"
    new_repository
    : >"$state/begun"
}

make() {
    objects=$1 base=$2 branch=$3 name=$4 email=$5
    if [ -d "$ws/.git" ] && [ "$(cat "$state/base" 2>/dev/null)" = "$base" ]; then exit 0; fi
    if [ -d "$ws/.git" ] && [ -f "$state/begun" ]; then
        rm "$state/begun"
        cd "$ws"
    else
        wipe "$ws" "$state"
        mkdir -p "$state"
        new_repository
    fi
    lay_out
    if take_spare; then
        restore || { cd / && wipe "$ws" && new_repository && lay_out && git read-tree -m -u "$base"; }
    else
        git read-tree -m -u "$base"
    fi
    # What is checked out, as it was: later only files that differ from it need to be read.
    cp -p .git/index "$state/index"
    printf '%s\n' "$base" >"$state/base.new"
    mv "$state/base.new" "$state/base" # last: now it is whole
}

new_repository() {
    mkdir -p "$ws"
    git init --quiet --template= --initial-branch="$branch" "$ws"
    cd "$ws"
    git config user.name "$name"
    git config user.email "$email"
    git config gc.auto 0
    # OpenCode's name for what it works on. Without one it walks the whole history to the first commit, and
    # looks after the folders of all that have the same.
    printf '%s' "${ws##*/}" >.git/opencode
}

# The branch at the base, with an empty index.
lay_out() {
    mkdir -p .git/objects/info
    printf '%s\n' "$objects" >.git/objects/info/alternates
    git symbolic-ref HEAD "refs/heads/$branch"
    git update-ref "refs/heads/$branch" "$base"
}

# Files of an ended run of this project: making thousands of files takes seconds, comparing them does not.
# Their folder is left behind, since the agent's server may have opened this one.
take_spare() {
    for spare in "$spares/${objects##*/}".*; do
        mv -T -- "$spare" "$state/spare" 2>/dev/null || continue # another run took it
        if [ -d "$state/spare" ] && [ ! -L "$state/spare" ]; then
            find "$state/spare" -mindepth 1 -maxdepth 1 ! -name .git -exec mv -t "$ws" -- {} +
            wipe "$state/spare"
            return
        fi
        wipe "$state/spare"
    done
    return 1
}

# Make the spare files those of the base. Each is compared by content: the index is new and knows nothing of
# them. Attributes come first, since they say how. A submodule's folder would be left as it is.
restore() {
    git read-tree "$base" &&
        ! git ls-files --stage | grep -q '^160000' &&
        git clean -ffdxq &&
        find . -path ./.git -prune -o -type f -links +1 -exec rm -f {} + &&
        git ls-files -z -- .gitattributes '*/.gitattributes' | git checkout-index -f -z --stdin &&
        { git update-index -q --refresh >/dev/null || :; } &&
        git read-tree --reset -u "$base"
}

# Leave the files to the project's next run, without anything that the repository does not track.
keep() {
    [ -d "$ws" ] && [ ! -L "$ws" ] && [ -f "$state/index" ] || return 1
    cd "$ws"
    open_up
    fresh_repository
    wipe .git
    cp "$state/index" "$GIT_INDEX_FILE" &&
        git clean -ffdxq &&
        mkdir -p "$spares" &&
        mv -T -- "$ws" "$spares/${objects##*/}.${ws##*/}" || return 1
    # Three of a user's, the latest: disk is worth something too.
    cd "$spares" && ls -t | tail -n +4 | while read -r old; do wipe "./$old"; done
}

collect() {
    objects=$1 base=$2
    [ -d "$ws" ] && [ ! -L "$ws" ] || { tell "error the workspace is gone"; exit 1; }
    cd "$ws"
    open_up
    fresh_repository
    head=$(own_head)
    set_index
    flatten_nested
    git add --all . >&2
    force_added
    tree=$(git write-tree)
    tell "head $head"
    tell "tree $tree"
    before=$(git rev-parse "$base^{tree}")
    if [ "$tree" = "$before" ]; then exit 0; fi
    tell "changed yes"
    # The base's tree is named too: without a commit to walk from, ^base alone leaves nothing out.
    printf '%s\n' "$head" "$tree" "^$base" "^$before" |
        git pack-objects --quiet --revs --stdout --no-use-bitmap-index --threads=2
}

# What no commit holds: ignored files, folders of submodules, the agent's own repository. See archive.py.
archive() {
    objects=$1 base=$2 code=$3 limit=$4
    [ -d "$ws" ] && [ ! -L "$ws" ] || { tell "gone yes"; exit 0; }
    cd "$ws"
    open_up
    fresh_repository
    git read-tree "$base"
    git ls-files -z --others --ignored --exclude-standard --directory >"$state/names"
    git ls-files -z --stage >"$state/staged"
    # Of submodules, those that hold anything: one that nobody looked into is an empty folder.
    sed -nz 's/^160000 [0-9a-f]* [0-9]*\t//p' "$state/staged" |
        xargs -0 -r sh -c 'for one; do [ -z "$(ls -A -- "$one" 2>/dev/null)" ] || printf "%s\0" "$one"; done' sh \
            >>"$state/names"
    unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
    python3 -I -c "$code" "$ws" "$state" "$limit" <"$state/names"
}

# Put an earlier run's work into a fresh workspace: its commits, then the files that no commit holds.
# The engine has laid both down in the state's folder. The mark comes last: now it is whole.
put_back() {
    head=$1
    [ ! -e "$state/restored" ] || exit 0
    cd "$ws"
    if [ -s "$state/work.bundle" ]; then
        git bundle unbundle "$state/work.bundle" >/dev/null
        git reset --quiet --hard "$head"
    fi
    # What is archived under git/ and nested/ is for a person to look into, not to be put back.
    if [ -s "$state/files.tar.gz" ]; then
        tar -xzf "$state/files.tar.gz" --no-same-owner --skip-old-files --strip-components=1 files
    fi
    rm -f "$state/work.bundle" "$state/files.tar.gz"
    : >"$state/restored"
}

# The others' work merged over this run's, for the agent to reconcile the two. The mark comes last.
mend() {
    own=$1 others=$2
    [ "$(cat "$state/mends" 2>/dev/null)" != "$others" ] || exit 0
    cd "$ws"
    rm -f .git/index.lock .git/HEAD.lock
    for bundle in "$state"/mend.*; do git bundle unbundle "$bundle" >/dev/null; done
    git reset --quiet --hard "$own"
    git merge --quiet --no-commit --no-ff "$others" >&2 || : # the conflict is what this is for
    git rev-parse --quiet --verify MERGE_HEAD >/dev/null || { tell "error nothing conflicts"; exit 1; }
    rm -f "$state"/mend.*
    printf '%s\n' "$others" >"$state/mends"
}

# Files that nobody may read would be left out, some without a word.
open_up() {
    find . -path ./.git -prune -o -type d ! -perm -0700 -exec chmod u+rwx {} \; \
        -o -type f ! -perm -0400 -exec chmod u+r {} \; || : # what stays closed, git add will name
}

fresh_repository() {
    GIT_DIR=$state/git GIT_WORK_TREE=$ws GIT_INDEX_FILE=$state/git/index
    export GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
    wipe "$GIT_DIR"
    (unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE; git init --quiet --bare --template= "$state/git")
    git config core.bare false
    mkdir -p "$GIT_DIR/objects/info"
    printf '%s\n' "$objects" >"$GIT_DIR/objects/info/alternates"
    # A copy for as long as this takes: the agent's own alternates have no say either.
    if [ -d .git/objects ] && [ ! -L .git ] && [ ! -L .git/objects ]; then
        printf '%s\n' "$ws/.git/objects" >>"$GIT_DIR/objects/info/alternates"
    fi
}

# The commit that the agent stands on, when it is the run's base or builds on it and is whole.
own_head() {
    if [ -d .git ] && [ ! -L .git ] &&
        found=$(GIT_DIR=$ws/.git git rev-parse --verify --quiet 'HEAD^{commit}' 2>/dev/null) &&
        [ "$found" != "$base" ]; then
        if git merge-base --is-ancestor "$base" "$found" 2>/dev/null &&
            git rev-list --objects --quiet "$found" "^$base" 2>/dev/null; then
            printf '%s\n' "$found"
            return
        fi
        tell "note the agent's own commits do not build on the run's start, so its work is carried as one commit"
    fi
    printf '%s\n' "$base"
}

set_index() {
    if [ -f "$state/index" ] && cp -p "$state/index" "$GIT_INDEX_FILE" && git read-tree -m "$head" 2>/dev/null; then
        return
    fi
    rm -f "$GIT_INDEX_FILE"
    git read-tree "$head"
}

# A repository inside the workspace (a scaffolding tool made it) would be recorded as a link to
# commits that nobody has. Its files are carried instead. Submodules of the project stay as they are.
flatten_nested() {
    find . -path ./.git -prune -o -name .git -prune -exec sh -c '
        state=$1; shift; number=0
        for nested; do
            folder=${nested%/.git}; folder=${folder#./}
            command git check-ignore --quiet -- "$folder/" && continue
            case $(command git ls-files --stage -- ":(literal)$folder") in 160000*) continue ;; esac
            number=$((number + 1))
            mkdir -p "$state/nested"
            rm -rf "$state/nested/$$-$number"
            mv -- "$nested" "$state/nested/$$-$number"
            printf "openlinear: note a repository inside the workspace was carried as plain files\n" >&2
        done
    ' sh "$state" {} +
}

# Ignored files that the agent put into its index by force.
force_added() {
    [ -f .git/index ] && [ ! -L .git ] || return 0
    GIT_INDEX_FILE=$ws/.git/index git ls-files -z --cached --ignored --exclude-standard 2>/dev/null |
        git update-index --add --remove -z --stdin >&2
}

shift 2
case $job in
begin) begin "$@" ;;
make) make "$@" ;;
collect) collect "$@" ;;
archive) archive "$@" ;;
restore) put_back "$@" ;;
mend) mend "$@" ;;
remove)
    objects=$1
    keep || wipe "$ws"
    cd / && wipe "$state"
    ;;
esac
