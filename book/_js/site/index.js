import { start as actions } from "./actions.js";
import { start as folding } from "./folding.js";
import { start as scrollers } from "./scrollers.js";
import { start as search } from "./search.js";

for (const start of [actions, folding, scrollers, search]) start();
