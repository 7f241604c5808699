// What attention needs: the module that every runtime begins with. What else there is comes with `index.ts` (src/runtime/whole.ts).
export { heapBase, scratchBytes, run, finish, abandon, poolWorker, goOn } from './pool';
export { accumulate, accumulateTall, accumulateVisible } from './micro/accumulate';
export { dots, dotsTall } from './micro/dots';
export { accumulateFew, accumulateOne, dotsFew, dotsOne } from './micro/few';
export { pack, unpack } from './micro/lanes';
export { exponentiate, exponentiateOne, raise, raiseOne } from './micro/online';
export { adjust } from './micro/adjust';
export { modAccumulate, modClose, modMask, modNormalize, modOpen, modScores, modSoftmax, modTile, tileScores } from './modified';
export { combine, merge } from './merge';
