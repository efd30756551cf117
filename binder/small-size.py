"""Run by IPython when a kernel starts on Binder: its first output says that numbers differ."""


def _tell_once(shell):
    import os

    from IPython.display import Markdown, display

    def tell(result):
        shell.events.unregister("post_run_cell", tell)
        if os.environ.get("BNNBOOK_SIZE") == "smoke":
            display(
                Markdown(
                    "*This machine is small, so the page runs at its small size, on less data and "
                    "with fewer draws: its numbers differ from those of the book.*"
                )
            )

    shell.events.register("post_run_cell", tell)


_tell_once(get_ipython())  # noqa: F821
del _tell_once
