import { start as actions } from "./actions.js";
import { start as dialogs } from "./dialogs.js";
import { start as folding } from "./folding.js";
import { start as scrollers } from "./scrollers.js";
import { start as search } from "./search.js";
import { start as targets } from "./targets.js";

for (const start of [actions, dialogs, folding, scrollers, search, targets]) {
  try {
    start();
  } catch (error) {
    reportError(error); // to the console; the others start all the same
  }
}
